"""Given models on real pictures: people are found, and the same face is told from another."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import BGRImage, Float32Array, ModelPack
from sightline.models.packs import resolve_pack
from sightline.models.quality import assess
from sightline.models.verify import sample_picture, verify_pack
from sightline.runtime.settings import Settings
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def settings(shared: Path) -> Settings:
    return Settings(models=shared / "models")


@pytest.fixture(scope="module")
def pack(settings: Settings) -> ModelPack:
    return load_pack_of(settings.models)


def read(path: Path) -> BGRImage:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image, np.uint8)


def embed_largest(pack: ModelPack, image: BGRImage) -> Float32Array:
    face = max(pack.faces.detect([image])[0], key=lambda face: face.box[2] - face.box[0])
    [embedding] = pack.embedder.embed([(image, face)])
    return embedding


def frame_of(shared: Path, number: int) -> BGRImage:
    capture = cv2.VideoCapture(str(shared / "media" / "stage_clip.mp4"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, number)
    done, image = capture.read()
    capture.release()
    assert done
    return np.asarray(image, np.uint8)


def test_full_precision_is_preferred_and_the_pack_is_named_after_its_embedder(
    settings: Settings,
) -> None:
    files = resolve_pack(settings)
    assert files.persons is not None and files.persons.name == "yolo11n_320.onnx"
    assert files.id.startswith("mobilefacenet_128-") and len(files.id) == 18 + 8


def test_people_are_found_inside_the_picture(shared: Path, pack: ModelPack) -> None:
    assert pack.persons is not None
    for image, people in ((frame_of(shared, 150), 1), (sample_picture(), 6)):
        [(boxes, scores)] = pack.persons.detect([image])
        assert (scores > 0.5).sum() >= people
        assert (np.diff(scores) <= 0).all()
        height, width = image.shape[:2]
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()


def test_six_people_have_six_faces_that_differ(pack: ModelPack) -> None:
    image = sample_picture()
    [faces] = pack.faces.detect([image])
    assert len(faces) == 6
    vectors = np.stack(pack.embedder.embed([(image, face) for face in faces]))
    assert vectors.shape == (6, pack.embedder.dimension) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    likeness = vectors @ vectors.T - np.eye(6)
    assert likeness.max() < builtin_calibration(pack.id).scale(6, 1e-3).threshold(1)


@pytest.mark.parametrize("side", [60, 96, 160, 333, 900])
def test_a_face_is_found_in_a_crop_of_any_size(shared: Path, pack: ModelPack, side: int) -> None:
    portrait = read(shared / "media" / "photos" / "lin-manuel-miranda.png")
    crop = np.asarray(cv2.resize(portrait, (side, side)), np.uint8)
    [[face]] = pack.faces.detect([crop])
    assert 0.1 * side < face.box[2] - face.box[0] < side
    left, right, nose, mouth, _ = face.landmarks
    assert left[0] < nose[0] < right[0] and left[1] < nose[1] < mouth[1]


def test_what_the_detector_remembers_stays_small(pack: ModelPack) -> None:
    noise = np.random.default_rng(2)
    for number in range(60):
        size = noise.integers(20, (700, 150))  # narrow pictures, which take less to search
        height, width = size if number % 2 else size[::-1]
        pack.faces.detect([np.zeros((height, width, 3), np.uint8)])
    model = pack.faces._model  # type: ignore[attr-defined]
    assert len(model.center_cache) <= 100
    assert {id(session) for session in model.resolution_sessions.values()} == {id(model.session)}


def test_somebody_on_stage_is_the_one_on_the_portrait_and_nobody_else(
    shared: Path, pack: ModelPack
) -> None:
    photos = shared / "media" / "photos"
    portraits = {
        name: embed_largest(pack, read(photos / f"{name}"))
        for name in ("lin-manuel-miranda.png", "alex-lacamoire.png", "biden.jpg")
    }
    scores: dict[str, list[float]] = {name: [] for name in portraits}
    for number in range(80, 150, 5):
        image = frame_of(shared, number)
        for face in pack.faces.detect([image])[0]:
            if assess(image, face).refusal(24) is None:
                [vector] = pack.embedder.embed([(image, face)])
                for name, portrait in portraits.items():
                    scores[name].append(float(vector @ portrait))
    scale = builtin_calibration(pack.id).scale(len(portraits), 1e-3)
    assert max(scores.pop("lin-manuel-miranda.png")) > scale.threshold(1)
    assert max(value for values in scores.values() for value in values) < scale.unknown_threshold


def test_verifying_runs_every_file(settings: Settings) -> None:
    checks = verify_pack(settings)
    assert [check["role"] for check in checks] == ["persons", "faces", "embedder"]
    assert all(check["ms"] > 0 and check["intact"] is None for check in checks)
