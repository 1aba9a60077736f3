"""SCRFD and ArcFace: insightface's model classes on sessions of `runtime.make_session`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Face, Float32Array
from sightline.models.onnx_session import make_session, max_batch, require_insightface
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

_STRIDE_PX = 32
"""Largest stride of SCRFD; the sides of its input are multiples of it."""
_MIN_SIDE_PX, _MAX_SIDE_PX = 160, 640
"""A small crop is enlarged to the first; a large image is reduced to the second."""
_ALIGNED_SIDE_PX = 112
"""Side of the picture that insightface states ArcFace's landmarks for."""
_COMPLEX = np.array([1.0, 1.0j])


def input_size(width: int, height: int) -> tuple[int, int]:
    """Return width and height of the network's input for an image: its shape, not a square.

    Sides are multiples of 32 between bounds, so there are few sizes, and SCRFD's cache of anchors
    by size stays small.
    """
    longest = max(width, height)
    scale = min(max(longest, _MIN_SIDE_PX), _MAX_SIDE_PX) / longest
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(_STRIDE_PX, -(-round(side) // _STRIDE_PX) * _STRIDE_PX)


class ScrfdDetector:
    """Detector of faces with five landmarks; score threshold 0.5."""

    def __init__(self, path: Path, settings: Settings) -> None:
        require_insightface()
        from insightface.model_zoo.scrfd import SCRFD  # noqa: PLC0415 - heavy

        # SCRFD is not given the file's name: it would make a session for every size of input.
        self._model: Any = SCRFD(session=make_session(path, settings))
        if not self._model.use_kps:
            raise SightlineError(f"face detector {path} gives no landmarks: use one with 5 points")

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        """Return the faces in each of the images, best first."""
        return [self._faces(image) for image in images]

    def _faces(self, image: BGRImage) -> list[Face]:
        # One call for each image on a GPU too: the outputs of SCRFD's ONNX files have no batch
        # axis, and inputs differ in size.
        height, width = image.shape[:2]
        if min(height, width) < 2:
            return []
        boxes, points = self._model.detect(image, input_size=input_size(width, height))
        return [
            Face(box=row[:4].copy(), score=float(row[4]), landmarks=marks.astype(np.float32))
            for row, marks in zip(boxes, points, strict=True)
        ]


class ArcFaceEmbedder:
    """Embedder of faces that are aligned by their landmarks."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX  # noqa: PLC0415 - heavy

        session = make_session(path, settings)
        self._max_batch = max_batch(session, settings)
        self._model: Any = ArcFaceONNX(str(path), session=session)
        self._side = int(self._model.input_size[0])
        self.dimension = int(self._model.output_shape[1])

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        """Return an embedding (dimension,) of unit length for each face in its image.

        Raises:
            SightlineError: The network gave a vector without a length.
        """
        aligned = [align(image, face.landmarks, self._side) for image, face in faces]
        embeddings: list[Float32Array] = []
        for start in range(0, len(aligned), self._max_batch):
            vectors = self._model.get_feat(aligned[start : start + self._max_batch])
            embeddings += [_unit_length(vector) for vector in vectors]
        return embeddings


def _unit_length(vector: Float32Array) -> Float32Array:
    norm = float(np.linalg.norm(vector))
    if not norm > 0:
        raise SightlineError("the face embedder gave no vector: is its model file damaged?")
    return np.asarray(vector / norm, np.float32)


def align(image: BGRImage, landmarks: Float32Array, side: int) -> BGRImage:
    """Turn and scale a face to (side, side, 3), its landmarks where ArcFace has them."""
    from insightface.utils.face_align import arcface_dst  # noqa: PLC0415 - heavy

    target = np.asarray(arcface_dst, np.float64) * (side / _ALIGNED_SIDE_PX)
    # The least squares similarity is one division with complex numbers. insightface's own
    # function calls a function that scikit-image is about to remove.
    source, destination = landmarks.astype(np.float64) @ _COMPLEX, target @ _COMPLEX
    centred = source - source.mean()
    spread = np.vdot(centred, centred).real
    turn = np.vdot(centred, destination - destination.mean()) / spread if spread else 0.0
    shift = destination.mean() - turn * source.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    aligned = cv2.warpAffine(image, matrix, (side, side), borderValue=0.0)
    return np.asarray(aligned, np.uint8)
