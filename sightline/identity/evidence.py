"""What the shots of a track say together, and how that is scored against a person."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""(d,), unit length."""

_LEAST_WEIGHT = 0.05
"""Even the worst of the shots that were taken says something."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One shot of a face."""

    id: str
    vector: Vector
    quality: float  # 0 to 1


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the shots of a track say together."""

    template: Vector
    shots: tuple[str, ...]  # ids of those that agree, sorted
    best: str  # id of the best of them

    @property
    def count(self) -> int:
        """How many shots agree."""
        return len(self.shots)


def combine(shots: Sequence[Shot], agree: float) -> Evidence:
    """The evidence of one or more shots; those under a cosine of `agree` to the rest are left out.

    The order of the shots does not matter.
    """
    ordered = sorted(shots, key=lambda shot: shot.id)
    vectors = np.stack([shot.vector for shot in ordered]).astype(np.float32)
    weights = np.array([max(shot.quality, _LEAST_WEIGHT) for shot in ordered], np.float32)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 1.0)
    agreeing = cosines >= agree
    # The shot that most of the evidence agrees with; among equals, the one most alike to all.
    support = (agreeing @ weights) * len(ordered) + cosines @ weights / weights.sum()
    chosen = np.flatnonzero(agreeing[int(np.argmax(support))])
    total = weights[chosen] @ vectors[chosen]
    best = max(chosen.tolist(), key=lambda index: (weights[index], ordered[index].id))
    return Evidence(
        template=np.asarray(total / np.linalg.norm(total), np.float32),
        shots=tuple(ordered[index].id for index in chosen),
        best=ordered[best].id,
    )


def score_of(vector: Vector, templates: Sequence[Vector], mean: Vector) -> float:
    """Half the cosine to the best of a person's templates, half that to their mean."""
    return (max(float(one @ vector) for one in templates) + float(mean @ vector)) / 2


def mean_of(templates: Sequence[Vector]) -> Vector:
    """The mean of templates as a vector of unit length; the first where they cancel out."""
    total = np.sum(templates, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else templates[0], np.float32)
