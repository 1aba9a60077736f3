"""A command loads what it works with, and not what all the others do."""

import pytest
import typer
from typer.main import get_command

from ops import cli


def assembled(monkeypatch: pytest.MonkeyPatch, *word: str) -> set[str]:
    """The commands that there are for a first word of the command line."""
    monkeypatch.setattr(cli, "app", typer.Typer(callback=lambda: None))
    cli._assemble(*word)
    return set(get_command(cli.app).commands)  # type: ignore[attr-defined]


def test_each_command_is_there_by_its_first_word(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = assembled(monkeypatch)
    assert {"up", "run", "camera", "log-level", "restore"} <= everything
    for word in everything:
        assert word in assembled(monkeypatch, word) < everything, word
    for word in ("--help", "--set", "wings"):
        assert assembled(monkeypatch, word) == everything, word
