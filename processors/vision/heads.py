"""Where the face of a followed person is looked for, and whose a face is."""

from collections.abc import Mapping

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Face, FaceDetector, Floats

_SEARCH_PX = 160
"""Longer side of the picture that is searched: a head fills it, so a face has 40 pixels."""


def head_region(box: Floats) -> Floats:
    """(4,) x1, y1, x2, y2 of where the head of a person box (4,) can be.

    The upper third of somebody standing; most of the box where only head and shoulders show.
    """
    x1, y1, x2, y2 = (float(side) for side in box)
    width, height = x2 - x1, y2 - y1
    tall = min(height, max(0.35 * height, 0.8 * width))
    return np.array(
        [x1 - 0.05 * width, y1 - 0.08 * height, x2 + 0.05 * width, y1 + tall], np.float32
    )


def search_head(detector: FaceDetector, image: BGRImage, region: Floats) -> list[Face]:
    """The faces in a region of an image, in pixels of the image."""
    height, width = image.shape[:2]
    x1, y1 = max(0, int(region[0])), max(0, int(region[1]))
    x2, y2 = min(width, int(np.ceil(region[2]))), min(height, int(np.ceil(region[3])))
    if x2 - x1 < 8 or y2 - y1 < 8:
        return []
    crop = image[y1:y2, x1:x2]
    scale = min(1.0, _SEARCH_PX / max(crop.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    return [face.moved(x1, y1, 1.0 / scale) for face in detector.detect(crop)]


def choose_face(faces: list[Face], track: int, boxes: Mapping[int, Floats]) -> Face | None:
    """The largest face that is this track's and nobody else's.

    `boxes` holds the box of every track in the frame, the settled ones too: a face in front of one
    person may belong to the one behind.
    """
    own = [face for face in faces if owner(face, boxes) == track]
    return max(own, key=_area, default=None)


def owner(face: Face, boxes: Mapping[int, Floats]) -> int | None:
    """Whose head a face is most likely: the nearest to the middle of the top of a box."""
    x, y = float(face.box[0] + face.box[2]) / 2, float(face.box[1] + face.box[3]) / 2

    def distance(track: int) -> float:
        x1, y1, x2, y2 = (float(side) for side in boxes[track])
        return abs(x - (x1 + x2) / 2) / max(x2 - x1, 1.0) + max(0.0, y - y1) / max(y2 - y1, 1.0)

    near = [track for track, box in boxes.items() if _inside(x, y, head_region(box))]
    return min(near, key=lambda track: (distance(track), track), default=None)


def _inside(x: float, y: float, region: Floats) -> bool:
    return bool(region[0] <= x <= region[2] and region[1] <= y <= region[3])


def _area(face: Face) -> float:
    return float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
