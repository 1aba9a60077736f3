"""Our direct ONNX path gives the boxes that ultralytics gives, run in an environment of its own."""

import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from sightline.models.detector import MIN_SCORE, YoloDetector
from sightline.models.fetch import make_export_environment
from sightline.models.verify import sample_picture
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from tests.support import ROOT

pytestmark = [pytest.mark.models, pytest.mark.timeout(900)]

BUILD_SECONDS = 300.0
REFERENCE = Path(__file__).with_name("ultralytics_reference.py")
PACKAGES = sysconfig.get_path("purelib")
REAL = ROOT.parent / "shared" / "models" / "yolo11n_320.onnx"


@pytest.fixture(scope="module")
def python() -> Path:
    """Python of an environment with ultralytics, kept between runs."""
    folder = platformdirs.user_cache_path("sightline") / "ultralytics-env"
    complete = folder / "complete"
    if not complete.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        try:
            make_export_environment(folder, BUILD_SECONDS)
        except SightlineError as error:
            pytest.skip(f"no environment for ultralytics can be made here: {error}")
        complete.touch()
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def reference(
    python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder with the exported models, and what ultralytics finds with each of them.

    The models are kept beside the environment that makes them: they take seconds to export.
    """
    import cv2

    environment = python.parent.parent
    kept = hashlib.sha256(REFERENCE.read_bytes() + sample_picture().tobytes())
    kept.update(str((environment / "complete").stat().st_mtime_ns).encode())
    models = environment / f"models-{kept.hexdigest()[:16]}"
    folder = tmp_path_factory.mktemp("ultralytics")
    picture = folder / "picture.png"
    cv2.imwrite(str(picture), sample_picture())
    real = str(REAL) if REAL.is_file() else "-"
    subprocess.run(
        [str(python), str(REFERENCE), folder, models, str(picture), real, str(ROOT), PACKAGES],
        cwd=folder,
        env=os.environ | {"YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false"},
        check=True,
        timeout=400,
        stdout=2,
    )
    yield models, json.loads((folder / "answers.json").read_text())
    shutil.rmtree(folder)


def share_found_again(ours: Any, theirs: Any) -> float:
    """Share of their boxes that are among ours, to half a pixel and a thousandth of score."""
    if not len(theirs[0]):
        return 1.0
    boxes = np.abs(ours[0][:, None] - theirs[0][None]).max(axis=2) < 0.5
    scores = np.abs(ours[1][:, None] - theirs[1][None]) < 1e-3
    return float((boxes & scores).any(axis=0).mean())


@pytest.mark.parametrize(
    ("answer", "file", "agreeing"),
    [
        ("fixed", "fixed.onnx", 1.0),
        # Other threads and other arithmetic differ in the sixth digit, which turns near ties over.
        ("dynamic", "dynamic.onnx", 0.98),
        ("native", "dynamic.onnx", 0.97),
    ],
)
def test_a_yolo11_built_from_its_yaml(
    reference: tuple[Path, dict[str, Any]], answer: str, file: str, agreeing: float
) -> None:
    folder, answers = reference
    [(boxes, scores)] = YoloDetector(folder / file, Settings()).detect([sample_picture()])
    their_boxes = np.array(answers[answer]["boxes"])
    their_scores = np.array(answers[answer]["scores"])
    assert 10 < len(their_boxes) < 300
    # A box at the very threshold may fall on either side of it.
    sure, also_sure = scores > MIN_SCORE + 1e-3, their_scores > MIN_SCORE + 1e-3
    ours, theirs = (boxes, scores), (their_boxes, their_scores)
    assert share_found_again(ours, (their_boxes[also_sure], their_scores[also_sure])) >= agreeing
    assert share_found_again(theirs, (boxes[sure], scores[sure])) >= agreeing


def test_trained_weights(shared: Path, reference: tuple[Path, dict[str, Any]]) -> None:
    answer = reference[1]["real"]
    detector = YoloDetector(shared / "models" / REAL.name, Settings())
    [(boxes, scores)] = detector.detect([sample_picture()])
    assert len(boxes) == 6
    np.testing.assert_allclose(boxes, answer["boxes"], atol=0.01)
    np.testing.assert_allclose(scores, answer["scores"], atol=1e-5)


def test_its_own_weights_behind_our_interface(reference: tuple[Path, dict[str, Any]]) -> None:
    ours, theirs = reference[1]["behind our interface"], reference[1]["as it comes"]
    assert len(ours["boxes"]) > 10
    np.testing.assert_allclose(ours["boxes"], theirs["boxes"], atol=0.01)
    np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)
