"""From the network's numbers to boxes of people."""

import numpy as np
import pytest

from sightline.models.detector import decode, letterbox
from sightline.models.interface import Float32Array
from sightline.runtime.errors import SightlineError

CANDIDATES = 50


def output(*rows: tuple[tuple[float, float, float, float], dict[int, float]]) -> Float32Array:
    """(1, 84, 50): centre and size of a few boxes, with their class scores."""
    raw = np.zeros((1, 84, CANDIDATES), np.float32)
    for at, (box, scores) in enumerate(rows):
        raw[0, :4, at] = box
        for label, score in scores.items():
            raw[0, 4 + label, at] = score
    return raw


def test_boxes_come_as_corners_best_first() -> None:
    raw = output(((50, 50, 20, 40), {0: 0.4}), ((150, 60, 10, 20), {0: 0.9}))
    boxes, scores = decode(raw, 0, 0.1)
    np.testing.assert_allclose(boxes, [[145, 50, 155, 70], [40, 30, 60, 70]])
    np.testing.assert_allclose(scores, [0.9, 0.4])


def test_a_box_that_is_more_likely_something_else_is_no_person() -> None:
    boxes, _ = decode(output(((50, 50, 20, 40), {0: 0.5, 16: 0.6})), 0, 0.1)
    assert boxes.shape == (0, 4)


def test_weak_boxes_are_left_out() -> None:
    assert decode(output(((50, 50, 20, 40), {0: 0.09})), 0, 0.1)[0].shape == (0, 4)


def test_one_person_is_one_box_and_two_side_by_side_are_two() -> None:
    raw = output(
        ((50, 50, 20, 40), {0: 0.8}), ((51, 51, 20, 40), {0: 0.7}), ((62, 50, 20, 40), {0: 0.6})
    )
    _, scores = decode(raw, 0, 0.1)
    np.testing.assert_allclose(scores, [0.8, 0.6])


def test_another_networks_output_is_told() -> None:
    with pytest.raises(SightlineError, match="shape"):
        decode(np.zeros((1, 3), np.float32), 0, 0.1)


@pytest.mark.parametrize("width", [1, 17, 320, 641, 1280])
@pytest.mark.parametrize("height", [1, 33, 320, 719])
def test_a_letterbox_leads_back_to_the_image(width: int, height: int) -> None:
    image = np.full((height, width, 3), 255, np.uint8)
    letter = letterbox(image, 320, 320, None)
    assert letter.tensor.shape == (1, 3, 320, 320)
    far = np.array([width, height]) * letter.scale + letter.margin
    inside = letter.tensor[0, 0] > 0.99
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    np.testing.assert_allclose([columns[0], rows[0]], letter.margin)
    np.testing.assert_allclose([columns[-1] + 1, rows[-1] + 1], far, atol=1e-3)


def test_a_dynamic_network_is_given_little_grey() -> None:
    assert letterbox(np.zeros((360, 640, 3), np.uint8), 320, 320, 32).tensor.shape == (
        1, 3, 192, 320,
    )  # fmt: skip


def test_red_comes_first() -> None:
    image = np.zeros((320, 320, 3), np.uint8)
    image[:, :, 2] = 255
    assert letterbox(image, 320, 320, None).tensor[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
