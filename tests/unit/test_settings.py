"""Settings: what is wrong is said in one line, and the page about them is true."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from docs._tools.settings_page import page
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, apply_command_line, load_settings
from sightline.runtime.settings.groups import EvidenceSettings
from sightline.runtime.settings.provenance import setting_fields
from sightline.runtime.settings.sources import PREFIX, variables_of
from tests.support import ROOT


@pytest.fixture(autouse=True)
def _fresh() -> None:
    load_settings.cache_clear()


def test_the_page_is_made_from_the_model() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run `make docs`"


def test_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("pack: dlib\nfleet: yard\nevidence:\n  observations: 7\n")
    monkeypatch.setenv("SIGHTLINE_FLEET", "gate")
    settings = load_settings()
    assert (settings.fleet, settings.pack, settings.evidence.observations) == ("gate", "dlib", 7)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SIGHTLINE_FLEETS", "gate", "unknown setting SIGHTLINE_FLEETS"),
        ("SIGHTLINE_PACK", "best", "setting pack:"),
        ("SIGHTLINE_FLEET", "hall.run-a", "setting fleet:"),
        ("SIGHTLINE_EVIDENCE__OBSERVATIONS", "none", "setting evidence.observations:"),
        ("SIGHTLINE_EVIDENCE__OBSERVATION", "3", "setting evidence.observation:"),
        ("SIGHTLINE_VISION", "{", "vision"),
        ("sightline_fleets", "gate", "unknown setting sightline_fleets"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    monkeypatch.setenv(variable, value)
    with pytest.raises(SightlineError) as caught:
        load_settings()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("vision.shot=7", "unknown setting vision.shot;"),
        ("evidence.observations.more=7", "unknown setting evidence.observations.more;"),
        ("visions=7", "unknown setting visions;"),
        ("vision=7", "vision is a group of settings"),
        ("evidence.observations", "write KEY=VALUE"),
        ("evidence.observations=", "write KEY=VALUE"),
        ("evidence.observations=many", "setting evidence.observations: "),
    ],
)
def test_the_command_line_is_held_to_the_model(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(SightlineError, match=re.escape(said)) as caught:
        apply_command_line([given])
        load_settings()
    assert "\n" not in str(caught.value)


def test_the_command_line_comes_before_every_name_of_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DB_SECRET_NAME", "theirs")
    monkeypatch.delenv("SIGHTLINE_DB_SECRET_NAME", raising=False)
    for path, field in setting_fields(Settings):
        first = variables_of(path, field)[0]
        assert first == PREFIX + "__".join(path).upper(), "what --set sets would not win"
    monkeypatch.setenv("SIGHTLINE_DB_SECRET_NAME", "")
    apply_command_line(["db_secret_name=ours"])
    assert load_settings().db_secret_name == "ours"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("packs: dlib", "setting packs: "),
        ("pack: [dlib", "config.yaml is not YAML, line "),
        ("- pack", "config.yaml is not a mapping"),
        ("vision: {shot: 3}", "setting vision.shot: "),
        ("vision: many", "setting vision: "),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(SightlineError, match=said) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_settings_do_not_change_and_hide_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://sightline:swordfish@db/sightline")
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.fleet = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        EvidenceSettings(observations=0)
    assert "swordfish" not in repr(settings)
