"""The model pack of the API: loaded when the first photo comes, one call in it at a time."""

import threading
from collections.abc import Sequence

import cv2
import numpy as np

from sightline.models.interface import (
    BGRImage,
    Face,
    FaceDetector,
    FaceEmbedder,
    Floats,
    ModelPack,
)
from sightline.models.packs import load_pack
from sightline.people.photo_rejections import Reason
from sightline.people.picture_files import Photo, normalised
from sightline.people.query_face import Found, good_face
from sightline.runtime.errors import InfrastructureError, PhotoError, SightlineError
from sightline.runtime.settings import Settings


class Faces:
    """Holds the pack. Its models keep state between calls, so threads take turns."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._pack: ModelPack | None = None

    def pack(self) -> ModelPack:
        """The pack. Raises InfrastructureError where it does not load: no client can help it."""
        with self._lock:
            if self._pack is None:
                try:
                    loaded = load_pack(self._settings)
                except SightlineError as error:
                    raise InfrastructureError(f"the model pack does not load: {error}") from error
                turn = threading.Lock()
                self._pack = ModelPack(
                    loaded.id, None, _Detector(loaded.faces, turn), _Embedder(loaded.embedder, turn)
                )
            return self._pack


class _Detector:
    def __init__(self, inner: FaceDetector, turn: threading.Lock) -> None:
        self._inner = inner
        self._turn = turn

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        with self._turn:
            return self._inner.detect(images)


class _Embedder:
    def __init__(self, inner: FaceEmbedder, turn: threading.Lock) -> None:
        self._inner = inner
        self._turn = turn
        self.dimension = inner.dimension

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Floats]:
        with self._turn:
            return self._inner.embed(faces)


def pixels_of(photo: Photo) -> BGRImage:
    """A photo's pixels, upright, h x w x 3. Raises PhotoError."""
    image = cv2.imdecode(np.frombuffer(normalised(photo), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise PhotoError(Reason.INVALID_IMAGE_FORMAT, f"{photo.label}: the picture is damaged")
    return np.asarray(image, np.uint8)


def face_of_crop(image: BGRImage, label: str, pack: ModelPack, settings: Settings) -> Found:
    """The largest face of a crop, under the rules that shots of cameras are held to.

    Raises PhotoError.
    """
    [faces] = pack.faces.detect([image])
    faces = faces or _in_the_middle(image, pack.faces)
    if not faces:
        raise PhotoError(Reason.NO_FACE, f"{label}: no face found")
    face = max(faces, key=lambda one: float(np.prod(one.box[2:] - one.box[:2])))
    return good_face(image, face, label, pack, settings)


def _in_the_middle(image: BGRImage, detector: FaceDetector) -> list[Face]:
    """Faces that fill a crop, which detectors miss without something around them."""
    height, width = image.shape[:2]
    margin = max(height, width) // 2
    framed = np.full((height + 2 * margin, width + 2 * margin, 3), 127, np.uint8)
    framed[margin : margin + height, margin : margin + width] = image
    [faces] = detector.detect([framed])
    return [face.moved(-margin, -margin) for face in faces]
