"""The pack whose weights come from the package registry: dlib's HOG detector and ResNet embedder.

It has no person detector, so the tracks are tracks of faces. It detects faces from about 80 px, in
small images from 40 px.
"""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sightline.models.interface import BGRImage, Face, Float32Array, ModelPack
from sightline.runtime.errors import SightlineError

PACK_ID = "dlib"

_UPSAMPLE_BELOW_PX = 400
"""Images whose longer side is shorter are doubled first, which takes four times as long."""

_LEFT_EYE, _RIGHT_EYE = slice(36, 42), slice(42, 48)
_NOSE, _MOUTH_LEFT, _MOUTH_RIGHT = 30, 48, 54
"""Indices among the 68 points."""


_LANDMARKS = "shape_predictor_68_face_landmarks.dat"
_EMBEDDER = "dlib_face_recognition_resnet_model_v1.dat"

WEIGHTS_SHA256 = {
    _LANDMARKS: "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
    _EMBEDDER: "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
}
"""Hashes of face_recognition_models 0.3.0, which the shipped calibration was measured with."""


def _weights(name: str) -> Path:
    # The package is not imported: it needs pkg_resources.
    spec = find_spec("face_recognition_models")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise SightlineError(f"{name} is missing: install the package face_recognition_models again")


def weight_files() -> dict[str, Path]:
    """Return the pack's files by role: landmarks, embedder."""
    return {"landmarks": _weights(_LANDMARKS), "embedder": _weights(_EMBEDDER)}


class _Landmarks:
    """The 68 landmarks of a face."""

    def __init__(self, dlib: Any, path: Path) -> None:
        self._dlib = dlib
        self._predictor = dlib.shape_predictor(str(path))

    def of(self, image: Any, box: Float32Array) -> Any:
        """Return the landmarks of a face box (4,) as a shape of dlib."""
        sides = [round(float(side)) for side in box]
        return self._predictor(image, self._dlib.rectangle(*sides))


class DlibFaceDetector:
    """Detector of frontal faces by HOG."""

    def __init__(self, dlib: Any, landmarks: _Landmarks) -> None:
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = landmarks

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        """Return the faces in each of the images, best first."""
        return [self._faces(image) for image in images]

    def _faces(self, image: BGRImage) -> list[Face]:
        if min(image.shape[:2]) < 2:
            return []
        # In grey the same faces are detected in three quarters of the time.
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        upsample = 1 if max(grey.shape) < _UPSAMPLE_BELOW_PX else 0
        boxes, scores, _ = self._detector.run(grey, upsample, 0.0)
        faces = [self._face(grey, rect, score) for rect, score in zip(boxes, scores, strict=True)]
        return sorted(faces, key=lambda face: -face.score)

    def _face(self, grey: Any, rect: Any, margin: float) -> Face:
        box = np.array([rect.left(), rect.top(), rect.right(), rect.bottom()], np.float32)
        shape = self._landmarks.of(grey, box)
        points = np.array([(point.x, point.y) for point in shape.parts()], np.float32)
        five = np.stack(
            [
                points[_LEFT_EYE].mean(axis=0),
                points[_RIGHT_EYE].mean(axis=0),
                points[_NOSE],
                points[_MOUTH_LEFT],
                points[_MOUTH_RIGHT],
            ]
        )
        # The detector returns its margin over the threshold, from 0 to about 3.
        return Face(box=box, score=1.0 / (1.0 + math.exp(-1.0 - margin)), landmarks=five)


class DlibEmbedder:
    """Embedder by dlib's ResNet; its vectors are scaled to unit length, for cosines."""

    dimension = 128

    def __init__(self, dlib: Any, landmarks: _Landmarks, path: Path) -> None:
        self._model = dlib.face_recognition_model_v1(str(path))
        self._landmarks = landmarks

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        """Return an embedding (128,) of unit length for each face in its image."""
        return [self._embedding(image, face) for image, face in faces]

    def _embedding(self, image: BGRImage, face: Face) -> Float32Array:
        rgb = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        shape = self._landmarks.of(rgb, face.box)
        vector = np.array(self._model.compute_face_descriptor(rgb, shape), np.float32)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


def load_dlib_pack() -> ModelPack:
    """Load the pack.

    Raises:
        SightlineError: The weights are missing or do not load.
    """
    try:
        import _dlib_pybind11 as dlib  # noqa: PLC0415 - heavy
    except ImportError as error:
        raise SightlineError(f"dlib does not load ({error}): install dlib-bin again") from error
    files = weight_files()
    try:
        landmarks = _Landmarks(dlib, files["landmarks"])
        embedder = DlibEmbedder(dlib, landmarks, files["embedder"])
    except RuntimeError as error:
        raise SightlineError(
            f"the weights in face_recognition_models do not load ({error}): install it again"
        ) from error
    return ModelPack(PACK_ID, None, DlibFaceDetector(dlib, landmarks), embedder)
