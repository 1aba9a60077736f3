"""A pack's measured curve, and the scale that follows from it.

Two curves are kept for each number of shots and photos: the score that a stranger reaches
against one person at a rate, as estimated, and a cautious bound of it (`fit` says how). Decisions
go by the bound. A wanted rate of f for a track searched among N people leaves f/N for each of the
N comparisons, whatever the gallery's people look like (union bound), so a growing gallery never
raises the rate of false names.
"""

import math
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sightline.identity.scale import Scale

NEWCOMER_SHOTS = 3
"""The number of shots that the threshold for newcomers is taken at."""

_STRANGERS_NEAR = 0.1
"""So many of the strangers come near to somebody, however large the gallery, and are told to be
new when their track ends; the others at once."""

_LEAD_TIMES = {"dlib": 4.0}
"""How many times the measured lead a name takes, by pack, where one group of people looks more
alike to it than the measured portraits show. Of 134 East Asian singers, half of them enrolled, dlib
names the others at 5 to 15% by the measured lead and at 0 to 0.4% by four times as much, where 0.1%
is wanted; it then names hardly any of the enrolled ones, since it cannot tell them apart."""

Count = Annotated[int, Field(ge=1)]
Cosine = Annotated[float, Field(ge=-1.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0, lt=1.0)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Impostors(_Checked):
    """Tracks of so many shots against different people enrolled with so many photos."""

    shots: Count
    photos: Count
    people: Count
    pairs: Count
    """Of different people: what has been measured ends at one in so many."""
    comparisons: Count
    shape: Annotated[float, Field(le=0.0)]
    """Of the generalised Pareto distribution that the tail comes to at its end, the score 1."""
    counted: tuple[Cosine, ...]
    """The score that was reached at the first of the rates, as far as there were pairs."""
    estimate: tuple[Cosine, ...]
    """The score that is reached at each of the rates, extrapolated where none was counted."""
    bound: tuple[Cosine, ...]
    """The one that it is at most, with the calibration's confidence."""
    supported: Rate
    """The smallest rate that is promised."""


class Genuine(_Checked):
    """Tracks of so many shots against the same person, enrolled with so many other photos."""

    shots: Count
    photos: Count
    people: Count
    tracks: Count
    scores: tuple[Cosine, ...]
    """Below each of them are so many of the tracks as `levels` says."""
    low: tuple[Cosine, ...]
    """What they are at least, with the calibration's confidence."""


class Calibration(_Checked):
    """What was measured of a pack."""

    version: Literal[1] = 1
    id: Annotated[str, Field(min_length=1, max_length=100)]
    pack: Annotated[str, Field(min_length=1, max_length=200)]
    measured: bool = True
    """False: taken from another embedder, because nobody has measured this one."""
    source: str
    """Where the portraits are from."""
    people: Count
    portraits: Count
    confidence: Rate
    rates: tuple[Rate, ...]
    """Falling."""
    levels: tuple[Rate, ...]
    """Rising."""
    impostors: Annotated[tuple[Impostors, ...], Field(min_length=1)]
    genuine: Annotated[tuple[Genuine, ...], Field(min_length=1)]
    newcomer: Cosine
    """Few of the known people's tracks of three shots are below."""
    lead: Annotated[float, Field(gt=0.0, le=1.0)]
    agree: Cosine

    def __hash__(self) -> int:
        """Cheap, because the matcher asks for a scale for every event."""
        return hash((self.id, self.pack))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.rates) < 2 or any(a <= b for a, b in pairwise(self.rates)):
            raise ValueError("the rates do not fall")
        if len(self.levels) < 2 or any(a >= b for a, b in pairwise(self.levels)):
            raise ValueError("the levels do not rise")
        for one in self.impostors:
            if not len(one.estimate) == len(one.bound) == len(self.rates):
                raise ValueError("not one score for each rate")
            if len(one.counted) > len(self.rates) or not _rises(one.counted):
                raise ValueError("what was counted does not fit the rates")
            if not (_rises(one.estimate) and _rises(one.bound)):
                raise ValueError("a lower rate needs no lower score")
            if any(low > high for low, high in zip(one.estimate, one.bound, strict=True)):
                raise ValueError("a bound is below its estimate")
        for other in self.genuine:
            if not len(other.scores) == len(other.low) == len(self.levels):
                raise ValueError("not one score for each level")
            if not (_rises(other.scores) and _rises(other.low)):
                raise ValueError("the scores of a person's own tracks do not rise with the level")
        if 1 not in self.shots:
            raise ValueError("nothing was measured of single shots")
        return self

    @property
    def name_lead(self) -> float:
        """Cosine by which the second best person has to be behind for a name."""
        return self.lead * _LEAD_TIMES.get(self.pack, 1.0)

    @property
    def shots(self) -> list[int]:
        """The numbers of shots that were measured."""
        return sorted({one.shots for one in self.impostors})

    @property
    def supported(self) -> float:
        """The smallest rate for one comparison that is promised for any number of shots."""
        return max(one.supported for one in self.impostors)

    def scale(self, people: int, wanted_rate: float) -> Scale:
        """The scale for a search among so many people. Cheap.

        Thresholds never fall with the number of people. Raises ValueError for a rate that is
        none.
        """
        if not 0.0 < wanted_rate < 1.0:
            raise ValueError(f"{wanted_rate} is no rate")
        return _scale(self, max(people, 1), wanted_rate)

    def refusal(self, people: int, wanted_rate: float) -> str | None:
        """Why a rate cannot be promised, or None."""
        rate = wanted_rate / max(people, 1)
        if rate >= self.supported:
            return None
        return (
            f"{wanted_rate:.2g} among {max(people, 1):,} people is {rate:.2g} for one comparison;"
            f" {self.people} measured people support {self.supported:.2g}"
            + ("" if self.measured else ", and none was measured with this pack")
        )

    def threshold(self, shots: int, rate: float) -> float:
        """The score for a name from so many shots at a rate for one comparison.

        The highest of those for one photo and for several, and of the measured numbers of shots
        next to this one. Infinite for a rate that is not promised.
        """
        curves = self._near(shots)
        if any(rate < one.supported for one in curves):
            return math.inf
        return max(self._at(rate, one.bound) for one in curves)

    def reached(self, shots: int, rate: float) -> float:
        """The score that a stranger's track of so many shots is estimated to reach at a rate."""
        return max(self._at(rate, one.estimate) for one in self._near(shots))

    def _near(self, shots: int) -> list[Impostors]:
        below = [one for one in self.shots if one <= shots]
        above = [one for one in self.shots if one >= shots]
        near = {below[-1], above[0] if above else below[-1]}
        return [one for one in self.impostors if one.shots in near]

    def _at(self, rate: float, scores: tuple[float, ...]) -> float:
        return float(np.interp(-math.log(rate), -np.log(self.rates), scores))

    def to_json(self) -> str:
        """As it is stored and published."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Raises ValueError for what is none."""
        return cls.model_validate_json(text)


@lru_cache(maxsize=1024)
def _scale(calibration: Calibration, people: int, wanted_rate: float) -> Scale:
    rate = wanted_rate / people
    shots = range(1, calibration.shots[-1] + 1)
    names = tuple(calibration.threshold(number, rate) for number in shots)
    # Somebody is always near in a large gallery: what is near moves with it. As low as most
    # strangers allow, so that a known person's poor track does not become a second person.
    near = calibration.reached(NEWCOMER_SHOTS, _STRANGERS_NEAR / people)
    return Scale(
        names=names,
        newcomer=min(max(calibration.newcomer, near), min(names) - calibration.lead),
        lead=calibration.name_lead,
        tie=calibration.lead,
        agree=calibration.agree,
        calibration=calibration.id,
        wanted_rate=wanted_rate,
        people=people,
    )


def _rises(scores: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in pairwise(scores))


_MEASURED = {"mobilefacenet_128-e72a5710": "mobilefacenet_128", "dlib": "dlib"}
"""Packs whose calibration comes along: their weights are known by their hash."""


@lru_cache(maxsize=64)
def builtin(pack: str) -> Calibration:
    """The calibration that a pack brings; the most careful one for a pack never measured."""
    name = _MEASURED.get(pack, "unknown")
    if pack.startswith(("buffalo_l", "w600k_r50")):
        name = "buffalo_l"
    text = (files("sightline.identity") / "measured" / f"{name}.json").read_text("utf-8")
    return Calibration.from_json(text).model_copy(update={"pack": pack})
