"""What a similarity means, for each embedder: no heavy imports, the matcher reads it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Cosines that mean the same with every embedder."""

    same: float
    """From here a template of several agreeing shots is this person."""
    sure: float
    """From here one shot alone is."""
    newcomer: float
    """Below this against everybody, several good shots mean a person nobody knows."""
    lead: float
    """How far the second best person has to be behind."""

    def confidence(self, score: float) -> float:
        """0 to 1, growing with the score: 0.5 at `same`, 0.9 at `sure`."""
        steepness = math.log(9.0) / (self.sure - self.same)
        return 1.0 / (1.0 + math.exp(-steepness * (score - self.same)))


_ARCFACE = ScoreScale(same=0.50, sure=0.60, newcomer=0.38, lead=0.06)
_SCALES: dict[str, ScoreScale] = {
    "buffalo_l": _ARCFACE,
    "dlib": ScoreScale(same=0.95, sure=0.97, newcomer=0.93, lead=0.01),
}


def score_scale(pack_id: str) -> ScoreScale:
    """The scale of a pack; an embedder never measured is taken for an ArcFace of small size."""
    return _SCALES.get(pack_id, _ARCFACE)
