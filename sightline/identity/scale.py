"""The scores of one pack, for one size of gallery and one wanted rate of false names."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """What the scores of a track mean. No heavy imports: the matcher reads it."""

    names: tuple[float, ...]
    """Thresholds for a name, of a track of 1, 2, 3, ... agreeing shots; the last holds for more.
    Infinity where the calibration cannot promise the wanted rate."""
    newcomer: float
    """Below this against everybody, several good shots mean a person nobody knows."""
    lead: float
    """How far the second best person has to be behind."""
    tie: float
    """Two scores that differ by less say nothing about who is nearer; at most `lead`."""
    agree: float
    """Cosine that two shots of one person have at least."""
    calibration: str
    """Id of the measurement that all this follows from."""
    wanted_rate: float
    people: int

    def threshold(self, shots: int) -> float:
        """From here the best person is who it is."""
        return self.names[min(shots, len(self.names)) - 1]

    def confidence(self, score: float, shots: int) -> float:
        """0 to 1, growing with the score: 0.5 half way to the threshold from `newcomer`, 0.9 at
        the threshold."""
        threshold = self.threshold(shots)
        if not math.isfinite(threshold):
            return 0.0
        middle = (self.newcomer + threshold) / 2
        steepness = math.log(9.0) / max(threshold - middle, 1e-3)
        return 1.0 / (1.0 + math.exp(-min(max(steepness * (score - middle), -60.0), 60.0)))
