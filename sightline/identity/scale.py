"""Scale of a pack's scores, for one size of gallery and one target rate of false names."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Meaning of the scores of a track. No heavy imports: the matcher reads it."""

    name_thresholds: tuple[float, ...]
    """Thresholds for a name, of a track of 1, 2, 3, ... agreeing observations; the last holds for
    more. Infinity where the calibration cannot promise the target rate."""
    unknown_threshold: float
    """Score below which, against every candidate, several good observations are a new person."""
    lead: float
    """Difference of scores by which the second best candidate has to be behind for a name."""
    tie: float
    """Difference below which two scores do not tell which person is nearer; at most `lead`."""
    min_agreement: float
    """Lowest cosine between two observations of one person."""
    calibration: str
    """Id of the calibration that the scale follows from."""
    target_fpir: float
    """Target rate of false names for one track (FPIR), 0 to 1."""
    people: int
    """Number of people that are searched."""

    def threshold(self, observations: int) -> float:
        """Return the score from which the best candidate is named, by agreeing observations."""
        return self.name_thresholds[min(observations, len(self.name_thresholds)) - 1]

    def confidence(self, score: float, observations: int) -> float:
        """Return the confidence of a score, 0 to 1, which grows with it.

        It is 0.5 half way from `unknown_threshold` to the threshold, 0.9 at the threshold, and 0
        where no score is enough for a name.
        """
        threshold = self.threshold(observations)
        if not math.isfinite(threshold):
            return 0.0
        middle = (self.unknown_threshold + threshold) / 2
        steepness = math.log(9.0) / max(threshold - middle, 1e-3)
        return 1.0 / (1.0 + math.exp(-min(max(steepness * (score - middle), -60.0), 60.0)))
