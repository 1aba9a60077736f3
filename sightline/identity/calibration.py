"""Calibration of a pack: its measured curves, and the scale that follows from them.

It has two curves for each number of observations and photos: the score that a non-mated track
reaches against one person at a rate, as estimated, and a cautious bound of it (`fit` says how).
Decisions go by the bound. A target rate of f for a track searched among N people leaves f/N for
each of the N comparisons, whatever the gallery's people look like (union bound), so a growing
gallery never raises the rate of false names.
"""

import math
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sightline.identity.scale import ScoreScale

UNKNOWN_PERSON_OBSERVATIONS = 3
"""Number of observations that the threshold for new unknown persons is taken at."""

_NEAR_RATE = 0.1
"""Rate of new people who are near to a candidate, however large the gallery: they get an id when
their track ends, the others at once."""

_LEAD_FACTORS = {"dlib": 4.0}
"""Multiple of the measured lead that a name takes, by pack, where one group of people looks more
alike to the pack than the measured portraits show. Of 134 East Asian singers, half of them
enrolled, dlib names the others at 5 to 15% by the measured lead and at 0 to 0.4% by four times as
much, where 0.1% is wanted; it then names hardly any of the enrolled ones, since it cannot tell
them apart."""

Count = Annotated[int, Field(ge=1)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NonMatedScores(_Checked):
    """Non-mated scores: tracks against different people, by observations and photos."""

    shots: Count
    photos: Count
    people: Count
    pairs: Count
    """Pairs of different people: no rate below one in so many has been measured."""
    comparisons: Count
    shape: Annotated[float, Field(le=0.0)]
    """Shape of the generalised Pareto distribution that the tail comes to at the score 1."""
    counted: tuple[Cosine, ...]
    """Scores that were reached at the first of the rates, as far as there were pairs."""
    estimate: tuple[Cosine, ...]
    """Score that is reached at each of the rates, extrapolated where none was counted."""
    bound: tuple[Cosine, ...]
    """Upper bound of each estimate, with the calibration's confidence."""
    supported: Rate
    """Smallest rate that is promised."""


class MatedScores(_Checked):
    """Mated scores: tracks against the same person's other photos, by observations and photos."""

    shots: Count
    photos: Count
    people: Count
    tracks: Count
    scores: tuple[Cosine, ...]
    """Scores below which the shares of the tracks are that `levels` has."""
    low: tuple[Cosine, ...]
    """Lower bound of each score, with the calibration's confidence."""


class Calibration(_Checked):
    """Measurement of a pack."""

    version: Literal[1] = 1
    id: Annotated[str, Field(min_length=1, max_length=100)]
    pack: Annotated[str, Field(min_length=1, max_length=200)]
    measured: bool = True
    """False: taken from another embedder, because this one has not been measured."""
    source: str
    """Source of the portraits."""
    people: Count
    portraits: Count
    confidence: Rate
    rates: tuple[Rate, ...]
    """Falling."""
    levels: tuple[Rate, ...]
    """Rising."""
    impostors: Annotated[tuple[NonMatedScores, ...], Field(min_length=1)]
    genuine: Annotated[tuple[MatedScores, ...], Field(min_length=1)]
    newcomer: Cosine
    """Score that few of the mated tracks of three observations are below."""
    lead: Annotated[float, Field(gt=0.0, le=1.0)]
    agree: Cosine

    def __hash__(self) -> int:
        """Hash by id and pack alone: the matcher looks up a scale for every event."""
        return hash((self.id, self.pack))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.rates) < 2 or any(a <= b for a, b in pairwise(self.rates)):
            raise ValueError("the rates do not fall")
        if len(self.levels) < 2 or any(a >= b for a, b in pairwise(self.levels)):
            raise ValueError("the levels do not rise")
        for curve in self.impostors:
            if not len(curve.estimate) == len(curve.bound) == len(self.rates):
                raise ValueError("not one score for each rate")
            if len(curve.counted) > len(self.rates) or not _rises(curve.counted):
                raise ValueError("what was counted does not fit the rates")
            if not (_rises(curve.estimate) and _rises(curve.bound)):
                raise ValueError("a lower rate needs no lower score")
            if any(low > high for low, high in zip(curve.estimate, curve.bound, strict=True)):
                raise ValueError("a bound is below its estimate")
        for mated in self.genuine:
            if not len(mated.scores) == len(mated.low) == len(self.levels):
                raise ValueError("not one score for each level")
            if not (_rises(mated.scores) and _rises(mated.low)):
                raise ValueError("the scores of a person's own tracks do not rise with the level")
        if 1 not in self.observation_counts:
            raise ValueError("nothing was measured of single observations")
        return self

    @property
    def name_lead(self) -> float:
        """Difference of scores by which the second best candidate has to be behind for a name."""
        return self.lead * _LEAD_FACTORS.get(self.pack, 1.0)

    @property
    def observation_counts(self) -> list[int]:
        """Numbers of observations that were measured."""
        return sorted({curve.shots for curve in self.impostors})

    @property
    def min_supported_rate(self) -> float:
        """Smallest rate for one comparison that is promised for any number of observations."""
        return max(curve.supported for curve in self.impostors)

    def scale(self, people: int, target_rate: float) -> ScoreScale:
        """Return the scale for a search among a number of people; it is cached.

        Thresholds never fall with the number of people.

        Raises:
            ValueError: A rate that is not between 0 and 1.
        """
        if not 0.0 < target_rate < 1.0:
            raise ValueError(f"{target_rate} is no rate")
        return _scale(self, max(people, 1), target_rate)

    def unsupported_reason(self, people: int, target_rate: float) -> str | None:
        """Return the reason why a rate cannot be promised; None where it can."""
        rate = target_rate / max(people, 1)
        if rate >= self.min_supported_rate:
            return None
        return (
            f"{target_rate:.2g} among {max(people, 1):,} people is {rate:.2g} for one comparison;"
            f" {self.people} measured people support {self.min_supported_rate:.2g}"
            + ("" if self.measured else ", and none was measured with this pack")
        )

    def threshold(self, observations: int, rate: float) -> float:
        """Return the score for a name, by observations and the rate for one comparison.

        It is the highest of those for one photo and for several, and of the measured numbers of
        observations next to this one. Infinite for a rate that is not promised.
        """
        curves = self._curves_for(observations)
        if any(rate < curve.supported for curve in curves):
            return math.inf
        return max(self._at(rate, curve.bound) for curve in curves)

    def threshold_at(self, observations: int, rate: float) -> float:
        """Return the estimated score that a non-mated track reaches at a rate."""
        return max(self._at(rate, curve.estimate) for curve in self._curves_for(observations))

    def _curves_for(self, observations: int) -> list[NonMatedScores]:
        """Return the curves of the measured numbers of observations next to a number."""
        below = [number for number in self.observation_counts if number <= observations]
        above = [number for number in self.observation_counts if number >= observations]
        next_to = {below[-1], above[0] if above else below[-1]}
        return [curve for curve in self.impostors if curve.shots in next_to]

    def _at(self, rate: float, scores: tuple[float, ...]) -> float:
        return float(np.interp(-math.log(rate), -np.log(self.rates), scores))


@lru_cache(maxsize=1024)
def _scale(calibration: Calibration, people: int, target_rate: float) -> ScoreScale:
    rate = target_rate / people
    shots = range(1, calibration.observation_counts[-1] + 1)
    names = tuple(calibration.threshold(number, rate) for number in shots)
    # In a large gallery every face is near to some candidate, so the limit moves with its size.
    # It is as low as most new people allow, so that a known person's poor track does not become
    # a second person.
    near = calibration.threshold_at(UNKNOWN_PERSON_OBSERVATIONS, _NEAR_RATE / people)
    return ScoreScale(
        name_thresholds=names,
        unknown_threshold=min(max(calibration.newcomer, near), min(names) - calibration.lead),
        lead=calibration.name_lead,
        tie=calibration.lead,
        min_agreement=calibration.agree,
        calibration=calibration.id,
        target_fpir=target_rate,
        people=people,
    )


def _rises(scores: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in pairwise(scores))


_MEASURED = {"mobilefacenet_128-e72a5710": "mobilefacenet_128", "dlib": "dlib"}
"""Files of calibrations by pack, whose id has the hash of its weights."""


@lru_cache(maxsize=64)
def builtin_calibration(pack: str) -> Calibration:
    """Return the built-in calibration of a pack; the most careful one for an unmeasured pack."""
    name = _MEASURED.get(pack, "unknown")
    if pack.startswith(("buffalo_l", "w600k_r50")):
        name = "buffalo_l"
    text = (files("sightline.identity") / "measured" / f"{name}.json").read_text("utf-8")
    return Calibration.model_validate_json(text).model_copy(update={"pack": pack})
