"""Real portraits are measured, and what cannot be used of them is left out and counted."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.identity import GOAL_RATE, Split, count, split
from benchmarks.portraits import ORL, Canvas, framed, orl_portraits
from ops.calibration.fit import calibrate
from ops.calibration.labelled_photos import read_labelled_photos
from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import ModelPack
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from tests.loaded import load_pack_of
from tests.support import run_sightline

pytestmark = pytest.mark.models

PEOPLE, PORTRAITS = 6, 4


@pytest.fixture(scope="module")
def settings(shared: Path) -> Settings:
    return Settings(models=shared / "models")


@pytest.fixture(scope="module")
def pack(settings: Settings) -> ModelPack:
    return load_pack_of(settings.models)


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each of some people, and things in it that are no portraits."""
    folder = tmp_path_factory.mktemp("portraits")
    for person in range(4, 4 + PEOPLE):
        (folder / f"s{person}").mkdir()
        for number in range(1, PORTRAITS + 1):
            picture = framed(ORL / f"s{person}_{number}.pgm", Canvas(1.6, 320))
            assert cv2.imwrite(str(folder / f"s{person}" / f"{number}.png"), picture)
    (folder / "s4" / "empty.jpg").touch()
    (folder / "s4" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (folder / "s5" / "notes.txt").write_text("not a photo")
    assert cv2.imwrite(str(folder / "s6" / "grey.png"), np.full((300, 300, 3), 90, np.uint8))
    (folder / "s7" / ".hidden").touch()
    (folder / "readme.txt").write_text("not a person")
    return folder


def test_what_is_no_portrait_is_left_out_and_counted(
    folder: Path, pack: ModelPack, settings: Settings
) -> None:
    progress: list[float] = []
    result = read_labelled_photos(folder, pack, settings, progress.append)
    assert {name: len(own) for name, own in result.people.items()} == {
        f"s{person}": PORTRAITS for person in range(4, 4 + PEOPLE)
    }
    assert result.reasons == {"INVALID_IMAGE_FORMAT": 3, "NO_FACE": 1}
    assert len(result.skipped) == 4
    assert any("broken.jpg" in line for line in result.skipped)
    assert progress == sorted(progress) and progress[-1] == 1.0
    fitted = calibrate(pack.id, result.people, "six")
    assert fitted.calibration.observation_counts == [1, 2, 3]
    assert fitted.calibration.scale(5, 1e-2).threshold(1) > 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.rmdir(), "No such file"),
        (lambda folder: (folder / "photo.jpg").touch(), "no photos of people"),
        (lambda folder: (folder / "somebody").mkdir(), "no photos of people"),
    ],
)
def test_a_folder_without_people_is_an_error(
    tmp_path: Path, pack: ModelPack, settings: Settings, make: object, message: str
) -> None:
    folder = tmp_path / "portraits"
    folder.mkdir()
    make(folder)  # type: ignore[operator]
    with pytest.raises(SightlineError, match=message):
        read_labelled_photos(folder, pack, settings)


def test_the_command_reports_without_a_database(folder: Path, shared: Path, home: Path) -> None:
    report = home / "det.png"
    done = run_sightline(
        home, "calibrate", "measure", str(folder), "--models", str(shared / "models"),
        "--dry-run", "--report", str(report),
        env={"COLUMNS": "100"},
    )  # fmt: skip
    assert "left out 4 of 28 photos: 3 INVALID_IMAGE_FORMAT, 1 NO_FACE" in done.stderr
    assert "is not kept" in done.stdout and "promised" in done.stdout
    assert report.read_bytes().startswith(b"\x89PNG")


def test_one_person_is_too_few(folder: Path, tmp_path: Path, home: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (folder / "s8").rename(alone / "s8")
    try:
        done = run_sightline(
            home, "calibrate", "measure", str(alone), check=False, env={"SIGHTLINE_PACK": "dlib"}
        )
    finally:
        (alone / "s8").rename(folder / "s8")
    assert done.returncode == 1
    assert "1 people with two usable portraits or more; a calibration takes 5" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def parts(settings: Settings) -> list[Split]:
    """Three seeds of the benchmark."""
    portraits = orl_portraits(settings)
    return [split(portraits, seed) for seed in (1, 2, 3)]


@pytest.mark.parametrize("shots", [1, 3, 5])
def test_ten_people_are_enough_to_name_fifteen_others_and_no_stranger(
    parts: list[Split], shots: int
) -> None:
    result = count(parts, GOAL_RATE, shots)
    assert result.strangers == 450 and result.own == 315
    assert result.false_names <= result.allowed
    assert result.mixed_up == 0
    assert result.tpir >= {1: 0.95, 3: 0.985, 5: 0.985}[shots]


def test_the_calibration_that_comes_along_is_the_one_that_is_measured(settings: Settings) -> None:
    portraits = orl_portraits(settings)
    shipped = builtin_calibration(portraits.pack)
    again = calibrate(portraits.pack, portraits.good(), shipped.source).calibration
    assert again.agree == pytest.approx(shipped.agree, abs=0.01)
    for people in (1, 100, 10_000):
        for shots in (1, 3, 5):
            assert again.scale(people, 1e-3).threshold(shots) == pytest.approx(
                shipped.scale(people, 1e-3).threshold(shots), abs=0.01
            )
