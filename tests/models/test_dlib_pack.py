"""The pack that needs no download: six people in a picture are found and told apart."""

import cv2
import numpy as np
import pytest

from sightline.identity.calibration import builtin_calibration
from sightline.models.interface import BGRImage, Face, ModelPack
from sightline.models.packs import resolve_pack
from sightline.models.verify import sample_picture, verify_pack
from sightline.runtime.settings import Settings
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

SETTINGS = Settings(pack="dlib")


@pytest.fixture(scope="module")
def pack() -> ModelPack:
    return load_pack_of(None)


@pytest.fixture(scope="module")
def faces(pack: ModelPack) -> list[Face]:
    """Of the six people, from left to right."""
    return sorted(pack.faces.detect([sample_picture()])[0], key=lambda face: float(face.box[0]))


def changed(image: BGRImage, light: float, blur: float, scale: float) -> BGRImage:
    lit = np.clip(image.astype(np.float32) * light, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(lit, (0, 0), blur)
    return np.asarray(cv2.resize(soft, None, fx=scale, fy=scale), np.uint8)


def test_it_is_what_is_used_where_nothing_was_fetched(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("home")
    assert resolve_pack(Settings(home=home)).id == "dlib"


def test_six_people_have_six_faces_with_landmarks_in_them(faces: list[Face]) -> None:
    assert len(faces) == 6
    for face in faces:
        x1, _, x2, y2 = face.box
        assert 60 < x2 - x1 < 200
        left, right, nose, mouth_left, mouth_right = face.landmarks
        assert x1 < left[0] < right[0] < x2
        assert left[1] < nose[1] < min(mouth_left[1], mouth_right[1]) < y2 + 10
        assert 0.5 < face.score <= 1.0


def test_it_finds_no_people(pack: ModelPack) -> None:
    assert pack.persons is None


def test_the_same_person_is_above_and_another_below(pack: ModelPack, faces: list[Face]) -> None:
    image = sample_picture()
    vectors = np.stack(pack.embedder.embed([(image, face) for face in faces]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    scale = builtin_calibration(pack.id).scale(6, 1e-3)
    assert (vectors @ vectors.T - np.eye(6)).max() < scale.threshold(1)

    for light, blur, size in ((0.7, 0.5, 1.0), (1.2, 1.0, 0.85)):
        other = changed(image, light, blur, size)
        faces_there = sorted(pack.faces.detect([other])[0], key=lambda face: float(face.box[0]))
        assert len(faces_there) == 6
        embeddings_there = np.stack(pack.embedder.embed([(other, face) for face in faces_there]))
        likeness = vectors @ embeddings_there.T
        assert likeness.diagonal().min() > scale.threshold(1)
        assert (likeness - np.eye(6)).max() < scale.threshold(1)


def test_a_small_picture_is_doubled(pack: ModelPack, faces: list[Face]) -> None:
    x1, y1, x2, y2 = (int(side) for side in faces[0].box)
    head = sample_picture()[y1 - 60 : y2 + 60, max(0, x1 - 60) : x2 + 60]
    small = np.asarray(cv2.resize(head, None, fx=0.5, fy=0.5), np.uint8)
    assert len(pack.faces.detect([small])[0]) == 1


def test_verifying_compares_with_what_the_package_says() -> None:
    checks = verify_pack(SETTINGS)
    assert [check["role"] for check in checks] == ["landmarks", "embedder"]
    assert all(check["intact"] for check in checks)
