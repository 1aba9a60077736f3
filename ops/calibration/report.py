"""Tables of a calibration for operators: measured cases and thresholds."""

import math
from itertools import product
from typing import Any

import numpy as np

from sightline.identity.calibration import Calibration, MatedScores

_GALLERY_SIZES = (10, 100, 1_000, 10_000, 100_000)


def measured(calibration: Calibration) -> list[dict[str, Any]]:
    """Return one row per measured case, with the rate from which on it is extrapolated."""
    return [
        {
            "shots": case.shots,
            "photos": case.photos,
            "people": case.people,
            "pairs": case.pairs,
            "scores": case.comparisons,
            "counted": f"{1 / case.pairs:.0e}",
            "promised": f"{case.supported:.0e}",
            "shape": f"{case.shape:.3f}",
        }
        for case in calibration.impostors
    ]


def thresholds(calibration: Calibration, target_fpir: float) -> list[dict[str, Any]]:
    """Return thresholds for a target FPIR and their misses, by gallery size and observations."""
    rows = []
    for people, observations in product(_GALLERY_SIZES, calibration.observation_counts):
        score = calibration.scale(people, target_fpir).threshold(observations)
        row: dict[str, Any] = {"people": f"{people:,}", "shots": observations}
        row["threshold"] = f"{score:.3f}" if math.isfinite(score) else "not promised"
        for mated in calibration.genuine:
            if mated.shots == observations:
                column = f"missed, {mated.photos} photo{'s' if mated.photos > 1 else ''}"
                row[column] = f"{fnmr_at(calibration, mated, score):.1%}"
        rows.append(row)
    return rows


def fnmr_at(calibration: Calibration, genuine: MatedScores, score: float) -> float:
    """Return the false non-match rate at a score: tracks of enrolled people below it, 0 to 1."""
    if not math.isfinite(score):
        return 1.0
    levels = np.array([0.0, *calibration.levels, 1.0])
    scores = np.array([-1.0, *genuine.scores, 1.0])
    return float(np.interp(score, scores, levels))
