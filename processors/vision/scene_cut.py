"""Detection of scene cuts: a cut in a film, or a camera that was turned.

A track must end at a cut: the people behind it are other people, and a track that went on would
give one person's name to another.
"""

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Float32Array

_SAMPLE_SIZE = (128, 72)
"""Width and height that a picture is sampled at, before the mean of areas is taken."""

_OUTLINE_SIZE = (32, 18)
"""Width and height of an outline."""

OUTLINE_SHAPE = _OUTLINE_SIZE[::-1]
"""Rows and columns of an outline."""

_STILL_QUANTILE = 0.67
"""The part of the picture that has changed least is compared: a person who walks by covers less
than the rest of it."""

_CUT_CORRELATION = 0.8
"""Correlation of the compared parts, below which there is a cut: over the cuts of a real film .67
to .74, elsewhere in it .96 and more at 10 frames a second, .85 at 5; whatever the light."""

_CUT_GREY_LEVELS = 6.0
"""Grey levels that half of the picture changes by at least at a cut (12 over those of the film):
the noise on a plain wall has no correlation."""


def outline(image: BGRImage) -> Float32Array:
    """Return the light and dark of an image as (18, 32) float32: whole numbers, 0 to 255."""
    # An average over all pixels of a large picture would take a millisecond.
    small = cv2.resize(image, _SAMPLE_SIZE, interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(small, _OUTLINE_SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)


def is_cut(before: Float32Array, now: Float32Array) -> bool:
    """Return True for two successive outlines (18, 32) of different places."""
    change = np.abs(now - before)
    if float(np.median(change)) < _CUT_GREY_LEVELS:
        return False
    still = change <= np.quantile(change, _STILL_QUANTILE)
    earlier, later = before[still] - before[still].mean(), now[still] - now[still].mean()
    lengths = float(np.linalg.norm(earlier) * np.linalg.norm(later))
    return lengths > 0 and float(earlier @ later) / lengths < _CUT_CORRELATION
