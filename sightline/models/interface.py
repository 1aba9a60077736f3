"""Interfaces of the models in a pack, and the types of their inputs and results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BGRImage = NDArray[np.uint8]
"""Shape (height, width, 3), blue first, as OpenCV reads it."""

Float32Array = NDArray[np.float32]
"""Boxes, scores, landmarks, embeddings."""

MIN_FRONTALITY = 0.25
"""Frontality (`quality.frontality`) below which a face suggests a name and cannot confirm one."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face detected in an image; coordinates are pixels of that image."""

    box: Float32Array
    """(4,): x1, y1, x2, y2; may reach over the edge of the image."""
    score: float
    """Score of the detector, 0 to 1."""
    landmarks: Float32Array
    """(5, 2): eye on the image's left, eye on its right, tip of the nose, left and right corner of
    the mouth."""

    @property
    def area(self) -> float:
        """The area of the box in pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    def moved(self, x: float, y: float, scale: float = 1.0) -> "Face":
        """Return the face in pixels of an image that has this image, scaled, at (x, y)."""
        offset = np.array([x, y], np.float32)
        return Face(
            box=(self.box.reshape(2, 2) * scale + offset).reshape(4).astype(np.float32),
            score=self.score,
            landmarks=(self.landmarks * scale + offset).astype(np.float32),
        )


class PersonBoxes(NamedTuple):
    """The people detected in one image, best first."""

    boxes: Float32Array
    """(n, 4): x1, y1, x2, y2 in pixels, inside the image."""
    scores: Float32Array
    """(n,): 0 to 1."""


class PersonDetector(Protocol):
    """Finds people in images."""

    def detect(self, images: Sequence[BGRImage]) -> list[PersonBoxes]:
        """Return the people in each of the images."""


class FaceDetector(Protocol):
    """Finds faces with their landmarks in images."""

    def detect(self, images: Sequence[BGRImage]) -> list[list[Face]]:
        """Return the faces in each of the images, best first."""


class FaceEmbedder(Protocol):
    """Computes the embeddings of faces."""

    dimension: int

    def embed(self, faces: Sequence[tuple[BGRImage, Face]]) -> list[Float32Array]:
        """Return an embedding (dimension,) of unit length for each face in its image.

        The cosine of two embeddings is a similarity.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ModelPack:
    """The models that work together, and the name under which their embeddings are stored.

    The models take lists. On the CPU each item of a list is an inference call of its own, so that
    the bits of a result do not depend on its neighbours. With CUDA `max_batch` items are one call
    where the batch axis of the network is free.
    """

    id: str
    """Names the embedder: embeddings of two ids are never compared."""
    persons: PersonDetector | None
    """None: the pack detects faces only, and the tracks are tracks of faces."""
    faces: FaceDetector
    embedder: FaceEmbedder
    max_batch: int = 1
    """Frames that are worth collecting for one call of the models."""
