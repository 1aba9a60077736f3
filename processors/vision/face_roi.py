"""The region of a tracked person in which a face is detected, and the track that a face is of."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Face, FaceDetector, Float32Array

_DETECTION_PX = 160
"""Longer side of the crop that faces are detected in: a head fills it, so a face has 40 pixels."""

_MIN_REGION_PX = 8


def head_region(box: Float32Array) -> Float32Array:
    """Return x1, y1, x2, y2 (4,) of the region in which the head of a person box (4,) can be.

    The upper third of a standing person; most of the box where only head and shoulders show.
    """
    x1, y1, x2, y2 = (float(side) for side in box)
    width, height = x2 - x1, y2 - y1
    tall = min(height, max(0.35 * height, 0.8 * width))
    return np.array(
        [x1 - 0.05 * width, y1 - 0.08 * height, x2 + 0.05 * width, y1 + tall], np.float32
    )


def detect_in_regions(
    detector: FaceDetector, regions: Sequence[tuple[BGRImage, Float32Array]]
) -> list[list[Face]]:
    """Return the faces in each region (4,) of an image, in pixels of the image."""
    crops = [_crop(image, region) for image, region in regions]
    results = iter(detector.detect([crop.image for crop in crops if crop is not None]))
    return [[] if crop is None else crop.in_image(next(results)) for crop in crops]


class _HeadCrop(NamedTuple):
    """The pixels of a head region, reduced to the size that faces are detected in."""

    image: BGRImage
    x: int
    y: int
    """Upper left corner in pixels of the whole image."""
    scale: float
    """Pixels of the crop for one pixel of the whole image."""

    def in_image(self, faces: list[Face]) -> list[Face]:
        """Return faces of the crop in pixels of the whole image."""
        return [face.moved(self.x, self.y, 1.0 / self.scale) for face in faces]


def _crop(image: BGRImage, region: Float32Array) -> _HeadCrop | None:
    """Cut a head region (4,) out of an image; None where next to nothing of it is inside."""
    height, width = image.shape[:2]
    x1, y1 = max(0, int(region[0])), max(0, int(region[1]))
    x2, y2 = min(width, int(np.ceil(region[2]))), min(height, int(np.ceil(region[3])))
    if x2 - x1 < _MIN_REGION_PX or y2 - y1 < _MIN_REGION_PX:
        return None
    crop = image[y1:y2, x1:x2]
    scale = min(1.0, _DETECTION_PX / max(crop.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _HeadCrop(crop, x1, y1, scale)


def choose_face(faces: list[Face], track: int, boxes: Mapping[int, Float32Array]) -> Face | None:
    """Return the largest face that belongs to a track; None where there is none.

    `boxes` holds the box (4,) of every track in the frame by number, settled tracks as well: a face
    in front of one person may belong to the person behind.
    """
    own = [face for face in faces if owner(face, boxes) == track]
    return max(own, key=lambda face: face.area, default=None)


def owner(face: Face, boxes: Mapping[int, Float32Array]) -> int | None:
    """Return the number of the track that a face belongs to most likely; None for none.

    Among the boxes with the face in their head region: the one whose top is nearest in its middle.
    """
    x, y = float(face.box[0] + face.box[2]) / 2, float(face.box[1] + face.box[3]) / 2

    def distance(track: int) -> float:
        x1, y1, x2, y2 = (float(side) for side in boxes[track])
        return abs(x - (x1 + x2) / 2) / max(x2 - x1, 1.0) + max(0.0, y - y1) / max(y2 - y1, 1.0)

    near = [track for track, box in boxes.items() if _is_inside(x, y, head_region(box))]
    return min(near, key=lambda track: (distance(track), track), default=None)


def is_ambiguous(face: Face, track: int, boxes: Mapping[int, Float32Array]) -> bool:
    """Return True for a face that is in the head region of another track as well."""
    x, y = float(face.box[0] + face.box[2]) / 2, float(face.box[1] + face.box[3]) / 2
    return any(_is_inside(x, y, head_region(box)) for other, box in boxes.items() if other != track)


def _is_inside(x: float, y: float, region: Float32Array) -> bool:
    return bool(region[0] <= x <= region[2] and region[1] <= y <= region[3])
