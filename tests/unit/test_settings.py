"""Settings: what is wrong is said in one line, and the page about them is true."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sightline.errors import SightlineError
from sightline.settings import Settings, VisionSettings, load_settings
from sightline.settings_page import page
from tests.support import ROOT


@pytest.fixture(autouse=True)
def _fresh() -> None:
    load_settings.cache_clear()


def test_the_page_is_made_from_the_model() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run `make docs`"


def test_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("pack: dlib\nfleet: yard\nvision:\n  shots: 7\n")
    monkeypatch.setenv("SIGHTLINE_FLEET", "gate")
    settings = load_settings()
    assert (settings.fleet, settings.pack, settings.vision.shots) == ("gate", "dlib", 7)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SIGHTLINE_FLEETS", "gate", "unknown setting SIGHTLINE_FLEETS"),
        ("SIGHTLINE_PACK", "best", "setting pack:"),
        ("SIGHTLINE_VISION__SHOTS", "none", "setting vision.shots:"),
        ("SIGHTLINE_VISION__SHOT", "3", "setting vision.shot:"),
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


def test_an_unknown_key_of_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("packs: dlib\n")
    with pytest.raises(SightlineError, match="packs"):
        load_settings()


def test_settings_do_not_change_and_hide_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://sightline:swordfish@db/sightline")
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.fleet = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        VisionSettings(shots=0)
    assert "swordfish" not in repr(settings)
