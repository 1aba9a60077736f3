"""The model pack of the API, for photos to enrol and to search: one call in it at a time."""

import threading
from collections.abc import Sequence

from sightline.models.interface import (
    BGRImage,
    Face,
    FaceDetector,
    FaceEmbedder,
    Float32Array,
    ModelPack,
)
from sightline.models.packs import load_pack
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.settings import Settings


class SharedModelPack:
    """Loads the pack with the first photo. Its models keep state, so threads take turns."""

    def __init__(self, settings: Settings) -> None:
        """Make the holder; no model is loaded yet."""
        self._settings = settings
        self._lock = threading.Lock()
        self._pack: ModelPack | None = None

    def get(self) -> ModelPack:
        """Return the pack.

        Raises:
            InfrastructureError: It does not load, whatever the client sends.
        """
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

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        with self._turn:
            return self._inner.embed(faces)
