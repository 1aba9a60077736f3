"""State from which the identity of a track is verified: its own faces, never anybody else's."""

from dataclasses import dataclass

import numpy as np

from sightline.models.interface import Float32Array

_MAX_WEIGHT = 12.0
"""Weight of a template at most: a new face always counts, as people turn and light changes."""


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedFace:
    """A face, or the mean of several, that a track is verified by."""

    embedding: Float32Array
    """(d,), unit length, rounded to float16: half the size in a state that is saved."""
    weight: float
    at_us: int
    """Capture time of the newest face in it."""
    frames: int
    """Frames of the track up to then."""

    @classmethod
    def of(cls, embedding: Float32Array, weight: float, at_us: int, frames: int) -> "VerifiedFace":
        """Make a face of an embedding (d,)."""
        return cls(_rounded(embedding), weight, at_us, frames)

    def merged(self, newer: "VerifiedFace") -> "VerifiedFace":
        """Return the weighted mean of this face and a newer one."""
        total = self.embedding * self.weight + newer.embedding * newer.weight
        mean = np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)
        weight = min(self.weight + newer.weight, _MAX_WEIGHT)
        return VerifiedFace(_rounded(mean), weight, newer.at_us, newer.frames)

    def cosine(self, other: "VerifiedFace") -> float:
        """Return the cosine to another face."""
        return float(self.embedding @ other.embedding)


@dataclass(slots=True)
class VerificationState:
    """Verification of one track in numbers."""

    template: VerifiedFace | None = None
    """Mean of the faces that agree; None before the first good face."""
    faces: int = 0
    """Number of faces that the template was made of."""
    disagreeing: VerifiedFace | None = None
    """A face that disagrees with the template and was not confirmed yet."""
    next_us: int = 0
    """Capture time at which the settled track is verified again."""
    misses: int = 0
    """Verifications in a row without a result."""
    suspected_us: int | None = None
    """Capture time at which the tracker may have changed bodies last, since the template's newest
    face."""
    steady_us: int | None = None
    """Capture time up to which the tracker had certainly not: before the first such moment."""
    steady_frames: int = 0
    """Frames of the track up to then."""
    unseen: int = 0
    """Detections in a row without the track."""
    overlaps: bool = False
    """The track's box overlaps another one's."""
    velocity: tuple[float, float] | None = None
    """Velocity of the middle of the box, x and y in pixels a second; None after a gap."""


def _rounded(embedding: Float32Array) -> Float32Array:
    return embedding.astype(np.float16).astype(np.float32)
