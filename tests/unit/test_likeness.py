"""Which photos hang together, and which show somebody else."""

import numpy as np
import pytest

from sightline.identity.evidence import Vector
from sightline.people.photo_rejections import Reason
from sightline.people.photos import PhotoTemplate
from sightline.people.template_similarity import check_agreement, person_clusters
from sightline.runtime.errors import PhotoError


def at(degrees: float, plane: int = 0) -> Vector:
    """A face: 60 degrees apart is a cosine of .5; two planes have nothing in common."""
    vector = np.zeros(4, np.float32)
    vector[2 * plane : 2 * plane + 2] = (
        np.cos(np.radians(degrees)), np.sin(np.radians(degrees)),
    )  # fmt: skip
    return vector


def looks(*vectors: Vector) -> list[PhotoTemplate]:
    return [
        PhotoTemplate(b"", vector, 0.9, f"photo {index}") for index, vector in enumerate(vectors)
    ]


def test_the_ends_of_a_chain_may_differ() -> None:
    assert person_clusters([at(0), at(80), at(40), at(0, 1)], 0.7) == [{0, 1, 2}, {3}]


def test_the_odd_ones_are_named() -> None:
    with pytest.raises(PhotoError, match=r"^photo 1, photo 3: ") as caught:
        check_agreement([], looks(at(0), at(0, 1), at(20), at(30, 1), at(40)), 0.7)
    assert caught.value.reason == Reason.FACES_DISAGREE
    check_agreement([], looks(at(0), at(20), at(40)), 0.7)
    check_agreement([], looks(at(0)), 0.7)


def test_of_two_photos_the_first_is_right() -> None:
    with pytest.raises(PhotoError, match=r"^photo 1: "):
        check_agreement([], looks(at(0), at(0, 1)), 0.7)


def test_who_is_enrolled_is_right_even_with_looks_of_two_kinds() -> None:
    known = [at(0), at(0, 1)]  # enrolled with --force: twins on one card, or a mask
    check_agreement(known, looks(at(20), at(20, 1)), 0.7)
    with pytest.raises(PhotoError, match=r"^photo 0, photo 1: "):
        check_agreement([at(0)], looks(at(0, 1), at(5, 1)), 0.7)
