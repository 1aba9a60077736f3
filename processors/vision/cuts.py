"""Where a picture is of another place than the one before: a cut in a film, a camera that turned.

Who stood somewhere before a cut is not who stands there after it. Without this, a track went on
over the cut and gave one person's name to another.
"""

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Floats

_SAMPLED = (128, 72)
_SIZE = (32, 18)
"""Width and height of what is compared."""

OUTLINE_SHAPE = _SIZE[::-1]
"""Rows and columns of an outline."""

_KEPT = 0.67
"""The part of the picture that has changed least: a person who walks by covers less than the
rest of it."""

_UNLIKE = 0.8
"""Correlation of what is kept: over the cuts of a real film .67 to .74, elsewhere in it .96 and
more at 10 frames a second, .85 at 5; whatever the light."""

_DIFFERENT = 6.0
"""Grey levels that half of the picture changes by at least (12 over those cuts): the noise on a
plain wall has no correlation."""


def outline(image: BGRImage) -> Floats:
    """A picture's light and dark, (18, 32) float32: whole numbers, 0 to 255."""
    # Sampled first: an average over all pixels of a large picture takes a millisecond.
    small = cv2.resize(image, _SAMPLED, interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(small, _SIZE, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)


def is_cut(before: Floats, now: Floats) -> bool:
    """Whether two outlines, one after the other, are of different places."""
    change = np.abs(now - before)
    if float(np.median(change)) < _DIFFERENT:
        return False
    kept = change <= np.quantile(change, _KEPT)
    one, other = before[kept] - before[kept].mean(), now[kept] - now[kept].mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return lengths > 0 and float(one @ other) / lengths < _UNLIKE
