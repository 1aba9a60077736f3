"""Judgement of a changed region: something in front of the background, a place left, or light.

Pure. Two pictures are compared, the present one and the background, inside the region and just
outside of it.
"""

from enum import Enum, auto
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import BGRImage

Mask = NDArray[np.uint8]
"""Shape (height, width); 255 inside, 0 outside."""

_RIM_PX: Final = 5
"""Pixels on either side of the outline that are compared; the outermost are the blurred edge."""

_EDGE_PX: Final = 1
"""Pixels on either side of the outline that belong to both sides."""

_CONTRAST_LEVELS: Final = 10.0
_CONTRAST_FACTOR: Final = 1.5
"""An outline is in one picture and not in the other if its contrast is by so many grey levels above
so many times the other's: light changes all contrasts by a factor."""

_OBJECT_RATIO: Final = 0.15
"""Share of the outline that is new in the present picture, from which something is in front."""

_OBJECT_PER_GHOST: Final = 0.6
"""Share of new outline for each lost one: somebody who moves aside leaves both, and a place that is
left may have an edge in it."""

_TEXTURE_LEVELS: Final = 2.5
"""Standard deviation of fine texture in grey levels, from which it can be compared."""

_SAME_TEXTURE: Final = 0.6
"""Correlation of the textures of the two pictures, from which they show the same surface."""

_TEXTURE_PX: Final = 15
"""Width of the surroundings whose mean is not texture."""

_MIN_TEXTURE_PX: Final = 500
"""Pixels of a region below which textures resemble each other by chance."""


class RegionKind(Enum):
    """Judgement of a region in which a picture differs from the background."""

    OBJECT = auto()  # something is in front
    GHOST = auto()  # it was in the background picture and has left
    UNCLEAR = auto()  # light, or nothing that has an outline


def kind_of(region: Mask, image: BGRImage, background: BGRImage) -> RegionKind:
    """Return the kind of a region of two pictures of equal size (H x W x 3, BGR)."""
    if _is_same_texture(region, image, background):
        return RegionKind.UNCLEAR
    rim, outside = _rims(region)
    sides = outside > 0
    if not sides.any():
        return RegionKind.UNCLEAR
    weight = _sum_around(sides.astype(np.float32))
    points = (rim > 0) & (weight > 0.5)
    count = np.count_nonzero(points)
    if not count:
        return RegionKind.UNCLEAR
    now = _contrast(image, outside, weight, points)
    before = _contrast(background, outside, weight, points)
    appeared = np.count_nonzero(now > _CONTRAST_FACTOR * before + _CONTRAST_LEVELS) / count
    vanished = np.count_nonzero(before > _CONTRAST_FACTOR * now + _CONTRAST_LEVELS) / count
    if appeared >= max(_OBJECT_RATIO, _OBJECT_PER_GHOST * vanished):
        return RegionKind.OBJECT
    return RegionKind.GHOST if vanished >= _OBJECT_RATIO else RegionKind.UNCLEAR


def dilated(mask: Mask, kernel: Mask) -> Mask:
    """Return a mask that is larger by the kernel (n, n) on all sides."""
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)


def _rims(region: Mask) -> tuple[Mask, Mask]:
    """Return the rim just inside of a region, and the one just outside."""
    # Beyond the picture's edge there is neither an inside nor an outside.
    inner = cv2.erode(region, _square(_EDGE_PX), borderValue=(255,))
    core = cv2.erode(region, _square(_RIM_PX), borderValue=(255,))
    outer = dilated(region, _square(_EDGE_PX))
    hull = dilated(region, _square(_RIM_PX))
    # The smaller one lies within the larger.
    return np.asarray(cv2.subtract(inner, core), np.uint8), np.asarray(
        cv2.subtract(hull, outer), np.uint8
    )


def _square(radius: int) -> Mask:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _sum_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    size = 4 * _RIM_PX + 1
    total = cv2.boxFilter(values, cv2.CV_32F, (size, size), normalize=False)
    return np.asarray(total, np.float32).reshape(values.shape[0], values.shape[1])


def _contrast(
    image: BGRImage, outside: Mask, weight: NDArray[np.float32], points: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the differences of points inside from the mean colour of their surroundings (n,)."""
    outside_image = np.where(outside[..., np.newaxis] > 0, image, 0).astype(np.float32)
    contrast = np.zeros(int(np.count_nonzero(points)), np.float32)
    for channel in range(image.shape[2]):
        mean = _sum_around(outside_image[..., channel]) / np.maximum(weight, 1e-3)
        difference = np.abs(image[..., channel][points].astype(np.float32) - mean[points])
        contrast = np.maximum(contrast, difference)
    return contrast


def _is_same_texture(region: Mask, image: BGRImage, background: BGRImage) -> bool:
    """Return True if a region shows the same surface in both pictures, whatever the light."""
    inside = cv2.erode(region, _square(1)) > 0
    now, before = _texture(image)[inside], _texture(background)[inside]
    if now.size < _MIN_TEXTURE_PX or min(float(now.std()), float(before.std())) < _TEXTURE_LEVELS:
        return False
    return float(np.corrcoef(now, before)[0, 1]) >= _SAME_TEXTURE


def _texture(image: BGRImage) -> NDArray[np.float32]:
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.float32)
    return grey - np.asarray(cv2.blur(grey, (_TEXTURE_PX, _TEXTURE_PX)), np.float32)
