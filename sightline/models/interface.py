"""What a model pack can do, whatever stands behind it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

BGRImage = NDArray[np.uint8]
"""H x W x 3, blue first, as OpenCV reads it."""

Floats = NDArray[np.float32]

MIN_FRONTALITY = 0.25
"""A face turned further away (`quality.frontality`) shows who somebody may be, not who they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face found in an image; coordinates are pixels of that image."""

    box: Floats
    """(4,): x1, y1, x2, y2; may reach over the edge of the image."""
    score: float
    """How sure the detector is, 0 to 1."""
    landmarks: Floats
    """(5, 2): the eye on the image's left, the one on its right, nose tip, left and right
    corner of the mouth."""

    def moved(self, x: float, y: float, scale: float = 1.0) -> "Face":
        """The same face in an image where this one is a part, scaled and put at (x, y)."""
        offset = np.array([x, y], np.float32)
        return Face(
            box=(self.box.reshape(2, 2) * scale + offset).reshape(4).astype(np.float32),
            score=self.score,
            landmarks=(self.landmarks * scale + offset).astype(np.float32),
        )


class PersonDetector(Protocol):
    """Finds people."""

    def detect(self, image: BGRImage) -> tuple[Floats, Floats]:
        """Boxes (n, 4) x1, y1, x2, y2 in pixels, inside the image; scores (n,), best first."""
        ...


class FaceDetector(Protocol):
    """Finds faces with their landmarks."""

    def detect(self, image: BGRImage) -> list[Face]:
        """The faces in an image, best first."""
        ...


class FaceEmbedder(Protocol):
    """Says who a face is, as a vector."""

    dimension: int

    def embed(self, image: BGRImage, face: Face) -> Floats:
        """Vector (dimension,) of unit length: the cosine of two says how alike they are."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ModelPack:
    """The models that work together, and the name under which their vectors are kept."""

    id: str
    """Names the embedder: vectors of two ids are never compared."""
    persons: PersonDetector | None
    """None: this pack finds faces only, and faces are what is followed."""
    faces: FaceDetector
    embedder: FaceEmbedder
