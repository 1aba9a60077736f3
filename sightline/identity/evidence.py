"""Evidence of a track: observations of one kind combined into a template, and its score.

Evidence has a kind. Faces are the one kind that is observed today; vectors of two kinds are never
compared, as vectors of two model packs are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""(d,), unit length."""

_MIN_WEIGHT = 0.05
"""Weight of the worst observation: whatever passed the quality check still counts."""


class EvidenceKind(IntEnum):
    """Part of a person that evidence is made of; numbers as in the message `EvidenceKind`."""

    FACE = 0
    BODY = 1  # for re-identification; no stage produces it yet


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """An observation of a track in one frame."""

    id: str
    embedding: Vector
    quality: float  # 0 to 1
    kind: EvidenceKind = EvidenceKind.FACE


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The agreeing observations of a track as one template."""

    template: Vector
    observation_ids: tuple[str, ...]  # ids of the observations that agree, sorted
    best: str  # id of the best of them
    kind: EvidenceKind = EvidenceKind.FACE

    @property
    def count(self) -> int:
        """Number of agreeing observations."""
        return len(self.observation_ids)


def combine(observations: Sequence[Observation], agree: float) -> Evidence:
    """Combine one or more observations of one kind into the evidence of their track.

    The template is the quality-weighted mean of the largest group of observations that agree with
    each other, scaled to unit length. The order of the observations does not matter.

    Args:
        observations: Observations with vectors of the same dimension.
        agree: Lowest cosine between two observations that agree.

    Raises:
        ValueError: Observations of more than one kind.
    """
    kinds = {observation.kind for observation in observations}
    if len(kinds) > 1:
        raise ValueError(f"evidence of {len(kinds)} kinds cannot be combined")
    ordered = sorted(observations, key=lambda observation: observation.id)
    vectors = np.stack([observation.embedding for observation in ordered]).astype(np.float32)
    weights = np.array(
        [max(observation.quality, _MIN_WEIGHT) for observation in ordered], np.float32
    )
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 1.0)
    agreeing = cosines >= agree
    # The centre is the observation that most of the evidence agrees with; among equals, the
    # observation most alike to all others.
    support = (agreeing @ weights) * len(ordered) + cosines @ weights / weights.sum()
    chosen = np.flatnonzero(agreeing[int(np.argmax(support))])
    total = weights[chosen] @ vectors[chosen]
    best = max(chosen.tolist(), key=lambda index: (weights[index], ordered[index].id))
    return Evidence(
        template=np.asarray(total / np.linalg.norm(total), np.float32),
        observation_ids=tuple(ordered[index].id for index in chosen),
        best=ordered[best].id,
        kind=ordered[best].kind,
    )


def score_of(embedding: Vector, templates: Sequence[Vector], mean: Vector) -> float:
    """Score a vector (d,) against a person's templates (d,) and their unit mean (d,), -1 to 1.

    Half of the score is the cosine to the best template, half the cosine to the mean.
    """
    return (
        max(float(template @ embedding) for template in templates) + float(mean @ embedding)
    ) / 2


def mean_of(templates: Sequence[Vector]) -> Vector:
    """Return the unit mean (d,) of templates (d,); the first template where they cancel out."""
    total = np.sum(templates, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else templates[0], np.float32)
