"""SCRFD and ArcFace, through insightface's own model classes on our sessions."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Face, Floats
from sightline.models.onnx_session import make_session, require_insightface
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

_STEP = 32
"""Input sides are multiples of the largest stride."""
_MIN_SIDE, _MAX_SIDE = 160, 640
"""A small crop is enlarged to the first; a large image is reduced to the second."""
_ALIGNED_SIDE = 112
"""ArcFace's landmarks are given for a picture of this side."""
_COMPLEX = np.array([1.0, 1.0j])


def input_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the network's input for an image: its shape, not a square.

    Sides are multiples of 32 between bounds, so there are few: what SCRFD keeps for each size
    stays small.
    """
    longest = max(width, height)
    scale = min(max(longest, _MIN_SIDE), _MAX_SIDE) / longest
    return _rounded(width * scale), _rounded(height * scale)


def _rounded(side: float) -> int:
    return max(_STEP, -(-round(side) // _STEP) * _STEP)


class ScrfdDetector:
    """Faces with five landmarks; score threshold 0.5."""

    def __init__(self, path: Path, settings: Settings) -> None:
        require_insightface()
        from insightface.model_zoo.scrfd import SCRFD  # noqa: PLC0415 - heavy

        # Without the file's name it keeps to this one session; with it, it would make a session
        # for every size of input.
        self._model: Any = SCRFD(session=make_session(path, settings))
        if not self._model.use_kps:
            raise SightlineError(f"face detector {path} gives no landmarks: use one with 5 points")

    def detect(self, image: BGRImage) -> list[Face]:
        """The faces in an image, best first."""
        height, width = image.shape[:2]
        if min(height, width) < 2:
            return []
        boxes, points = self._model.detect(image, input_size=input_size(width, height))
        return [
            Face(box=row[:4].copy(), score=float(row[4]), landmarks=marks.astype(np.float32))
            for row, marks in zip(boxes, points, strict=True)
        ]


class ArcFaceEmbedder:
    """Vectors of unit length from faces aligned by their landmarks."""

    def __init__(self, path: Path, settings: Settings) -> None:
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX  # noqa: PLC0415 - heavy

        self._model: Any = ArcFaceONNX(str(path), session=make_session(path, settings))
        self._side = int(self._model.input_size[0])
        self.dimension = int(self._model.output_shape[1])

    def embed(self, image: BGRImage, face: Face) -> Floats:
        """Vector (dimension,) of unit length."""
        vector = self._model.get_feat(align(image, face.landmarks, self._side)).reshape(-1)
        norm = float(np.linalg.norm(vector))
        if not norm > 0:
            raise SightlineError("the face embedder gave no vector: is its model file damaged?")
        return np.asarray(vector / norm, np.float32)


def align(image: BGRImage, landmarks: Floats, side: int) -> BGRImage:
    """The face turned and scaled to where ArcFace wants eyes, nose and mouth: side x side x 3."""
    from insightface.utils.face_align import arcface_dst  # noqa: PLC0415 - heavy

    target = np.asarray(arcface_dst, np.float64) * (side / _ALIGNED_SIDE)
    # The least squares similarity, which with complex numbers is one division. insightface's
    # own function calls what scikit-image is about to remove.
    here, there = landmarks.astype(np.float64) @ _COMPLEX, target @ _COMPLEX
    away = here - here.mean()
    spread = np.vdot(away, away).real
    turn = np.vdot(away, there - there.mean()) / spread if spread else 0.0
    shift = there.mean() - turn * here.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    aligned = cv2.warpAffine(image, matrix, (side, side), borderValue=0.0)
    return np.asarray(aligned, np.uint8)
