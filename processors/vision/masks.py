"""Masks of a camera, as its frames carry them: people and faces that are not looked at."""

from collections.abc import Iterator

import cv2
import numpy as np

from processors.vision.camera_state import Detections
from schemas import sightline_pb2 as pb
from sightline.models.interface import Face, Float32Array

_COORDINATES_MIN = 6
"""Coordinates of a triangle."""


def unmasked(detections: Detections, frame: pb.Frame, size: tuple[int, int]) -> Detections:
    """Return the detections of a frame, without the ones in its masks.

    `size` is the width and height of the picture in pixels. Where faces are what is followed, a
    mask of people and one of faces do the same.
    """
    if not frame.masks:
        return detections
    kinds = {pb.Mask.PEOPLE} if detections.faces is None else {pb.Mask.PEOPLE, pb.Mask.FACES}
    polygons = list(_polygons(frame, kinds, size))
    visible = [index for index, box in enumerate(detections.boxes) if not _is_in(box, polygons)]
    if len(visible) == len(detections.boxes):
        return detections
    faces = detections.faces
    return Detections(
        detections.boxes[visible],
        detections.scores[visible],
        None if faces is None else [faces[index] for index in visible],
    )


def unmasked_faces(faces: list[Face], frame: pb.Frame, size: tuple[int, int]) -> list[Face]:
    """Return the faces of a picture (width, height) that are in none of its masks of faces."""
    if not frame.masks:
        return faces
    polygons = list(_polygons(frame, {pb.Mask.FACES}, size))
    return [face for face in faces if not _is_in(face.box, polygons)]


def _polygons(
    frame: pb.Frame, kinds: set[pb.Mask.Kind], size: tuple[int, int]
) -> Iterator[Float32Array]:
    """Yield the polygons (n, 2) of a frame's masks of these kinds, in pixels.

    Points that make no polygon mask nothing: frames may come from other programs.
    """
    for mask in frame.masks:
        points = np.array(mask.points, np.float32)
        is_polygon = len(points) >= _COORDINATES_MIN and len(points) % 2 == 0
        if is_polygon and kinds.intersection(mask.kinds) and np.isfinite(points).all():
            yield np.clip(points.reshape(-1, 2), 0, 1) * np.array(size, np.float32)


def _is_in(box: Float32Array, polygons: list[Float32Array]) -> bool:
    """Return True if the middle of a box (4,) lies in one of the polygons, or on its edge."""
    middle = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    return any(cv2.pointPolygonTest(polygon, middle, False) >= 0 for polygon in polygons)
