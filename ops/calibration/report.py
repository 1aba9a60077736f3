"""What a calibration says, for people: tables and the curve of detection error trade-off."""

import math
from itertools import product
from typing import Any

import numpy as np

from sightline.identity.calibration import Calibration, Genuine

_PEOPLE = (10, 100, 1_000, 10_000, 100_000)


def measured(calibration: Calibration) -> list[dict[str, Any]]:
    """What was measured and from where on it is extrapolated, a row for each case."""
    return [
        {
            "shots": one.shots,
            "photos": one.photos,
            "people": one.people,
            "pairs": one.pairs,
            "scores": one.comparisons,
            "counted": f"{1 / one.pairs:.0e}",
            "promised": f"{one.supported:.0e}",
            "shape": f"{one.shape:.3f}",
        }
        for one in calibration.impostors
    ]


def thresholds(calibration: Calibration, wanted_rate: float) -> list[dict[str, Any]]:
    """The thresholds for a wanted rate, and who is missed at them, by people and shots."""
    rows = []
    for people, shots in product(_PEOPLE, calibration.shots):
        score = calibration.scale(people, wanted_rate).threshold(shots)
        row: dict[str, Any] = {"people": f"{people:,}", "shots": shots}
        row["threshold"] = f"{score:.3f}" if math.isfinite(score) else "not promised"
        for own in calibration.genuine:
            if own.shots == shots:
                what = f"missed, {own.photos} photo{'s' if own.photos > 1 else ''}"
                row[what] = f"{missed(calibration, own, score):.1%}"
        rows.append(row)
    return rows


def missed(calibration: Calibration, genuine: Genuine, score: float) -> float:
    """How many of the tracks of enrolled people are below a score, 0 to 1."""
    if not math.isfinite(score):
        return 1.0
    levels = np.array([0.0, *calibration.levels, 1.0])
    scores = np.array([-1.0, *genuine.scores, 1.0])
    return float(np.interp(score, scores, levels))
