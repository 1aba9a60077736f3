"""Size, sharpness and pose say which shots are worth an embedding."""

import cv2
import numpy as np
import pytest

from sightline.models.interface import BGRImage, Face
from sightline.models.quality import MIN_SHARPNESS, FaceQuality, assess, flatness, frontality
from sightline.models.verify import sample_picture

FRONTAL = np.array([[38, 52], [74, 52], [56, 72], [42, 92], [70, 92]], np.float32)


def face(side: float = 100.0, score: float = 0.9) -> Face:
    box = np.array([0, 0, side, side], np.float32)
    return Face(box=box, score=score, landmarks=FRONTAL * (side / 112))


def portrait() -> BGRImage:
    """A real face, 104 x 104."""
    return sample_picture()[284:388, 65:169]


def test_a_blurred_picture_is_less_sharp_and_light_makes_no_difference() -> None:
    clear = portrait()
    values = [assess(clear, face()).sharpness]
    for sigma in (1.0, 2.0, 4.0, 8.0):
        blurred = np.asarray(cv2.GaussianBlur(clear, (0, 0), sigma), np.uint8)
        values.append(assess(blurred, face()).sharpness)
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.6
    assert values[-1] < MIN_SHARPNESS
    dark = (clear // 3).astype(np.uint8)
    assert assess(dark, face()).sharpness == pytest.approx(values[0], abs=0.1)


def test_brightness_is_of_the_face_and_flatness_of_drawings() -> None:
    lit = [
        assess((portrait() * gain).astype(np.uint8), face()).brightness for gain in (0.1, 0.5, 1)
    ]
    assert lit == sorted(lit)
    assert lit[0] == pytest.approx(lit[2] / 10, abs=0.01)
    drawn = np.full((100, 100, 3), 220, np.uint8)
    cv2.circle(drawn, (50, 50), 40, (160, 190, 230), -1)
    box = np.array([0, 0, 100, 100], np.float32)
    assert flatness(drawn, box) > 0.9 > 0.3 > flatness(portrait(), box)


def test_a_blank_picture_is_not_sharp() -> None:
    assert assess(np.full((100, 100, 3), 90, np.uint8), face()).sharpness == 0.0


def test_a_face_outside_the_picture_is_no_shot() -> None:
    outside = face().moved(500, 500)
    assert assess(portrait(), outside).refusal(24) == "cut"


def test_a_face_cut_by_the_edge_is_no_shot() -> None:
    assert assess(portrait(), face().moved(5, 0)).refusal(24) is None
    assert assess(portrait(), face().moved(20, 0)).refusal(24) == "cut"


def test_turning_the_head_lowers_frontality_and_tilting_it_does_not() -> None:
    values = []
    for shift in (0.0, 8.0, 16.0, 26.0):
        turned = FRONTAL.copy()
        turned[2, 0] += shift
        values.append(frontality(turned))
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9 > 0.3 > values[-1]
    roll = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    assert frontality(FRONTAL @ roll.T) == pytest.approx(frontality(FRONTAL), abs=1e-3)


def test_landmarks_on_one_point_are_no_face() -> None:
    assert frontality(np.zeros((5, 2), np.float32)) == 0.0


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (FaceQuality(23.9, 0.9, 0.9, 0.9, 0.9), "small"),
        (FaceQuality(60.0, 0.9, 0.9, 0.9, 0.9, inside=0.8), "cut"),
        (FaceQuality(60.0, 0.9, 0.9, 0.9, 0.9, brightness=0.05), "dark"),
        (FaceQuality(60.0, 0.01, 0.9, 0.9, 0.9), "blurred"),
        (FaceQuality(60.0, 0.9, 0.1, 0.9, 0.9), "turned"),
        (FaceQuality(60.0, 0.9, 0.9, 0.5, 0.9), "uncertain"),
        (FaceQuality(60.0, 0.9, 0.9, 0.9, 0.2), "uncertain"),
        (FaceQuality(60.0, 0.9, 0.9, 0.9, 0.9), None),
    ],
)
def test_why_a_shot_is_refused(quality: FaceQuality, reason: str | None) -> None:
    assert quality.refusal(24.0, 0.25) == reason
