"""Commands run in the test's own process: what a program of its own takes two seconds to begin."""

import json
from functools import cache
from typing import Any

import pytest
import typer.testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from ops import cli
from sightline.runtime.settings import Settings, load_settings

_get_command = cache(get_command)
"""The tree of commands is built once: that took most of what a small command takes."""


def command(
    settings: Settings, *arguments: str, given: str | None = None, **environment: str
) -> Result:
    """What `sightline ARGUMENTS` comes to, which reads `given` from its standard input."""
    if not cli.app.registered_groups:
        cli._assemble()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", _get_command)
        for name, value in {"SIGHTLINE_HOME": str(settings.home), **environment}.items():
            patch.setenv(name, value)
        load_settings.cache_clear()
        try:
            return CliRunner().invoke(cli.app, arguments, input=given)
        finally:
            load_settings.cache_clear()


def run(settings: Settings, *arguments: str, **environment: str) -> str:
    """What a command prints that succeeds."""
    done = command(settings, *arguments, **environment)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def sightline_json(settings: Settings, *arguments: str) -> Any:
    """What `sightline ARGUMENTS --json` prints."""
    return json.loads(run(settings, *arguments, "--json"))
