"""FPIR and TPIR on the ORL portraits: `make bench-identity`.

`python -m benchmarks.identity 40` draws 40 times instead of five.

40 people: 10 for calibration alone, 15 enrolled with 3 portraits each, 15 unknown; a track is
1, 3 or 5 of the portraits that are left. The decisions are the product's own, and so is what
comes before them: a portrait that enrolment refuses is not enrolled, and one that is too poor
for an embedding leaves its track. A track that has none left names nobody, and counts as missed.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import crowd
from benchmarks.portraits import ORL, Portraits, orl_portraits, packs
from benchmarks.rig import run_as_program
from ops.calibration.fit import calibrate
from processors.match.candidates import Candidate
from processors.match.decision.identification import CandidateSet, DecisionRules, decide
from sightline.identity.calibration import Calibration
from sightline.identity.evidence import Observation, Vector, combine, mean_of, score_of
from sightline.identity.scale import ScoreScale

SEEDS = 5
"""Default number of draws; five have 75 unknown persons."""
RATES = (1e-1, 1e-2, 1e-3, 1e-4)
SHOTS = (1, 3, 5)
CALIBRATED, ENROLLED, PHOTOS = 10, 15, 3
GOAL_RATE = 1e-3
GOALS = {1: 0.97, 3: 0.995, 5: 0.995}
"""True positive identification rate at the goal's rate, by shots."""

_CONFIDENCE = 0.95

Track = list[Observation]
console = Console()


@dataclass(frozen=True, slots=True)
class Split:
    """People of one draw."""

    calibration: Calibration
    gallery: dict[str, list[Vector]]
    own: dict[int, list[tuple[str, Track]]]
    """Tracks of enrolled people with their names, by number of observations."""
    strange: dict[int, list[Track]]
    usable: frozenset[str]
    """Ids of observations that are good enough for an embedding."""


@dataclass(slots=True)
class Count:
    """Decisions on tracks of one number of observations at one target FPIR."""

    wanted: float
    shots: int
    growing: bool = False
    """Decided with every observation, as cameras do: a name at any moment counts."""
    strangers: int = 0
    false_names: int = 0
    own: int = 0
    named: int = 0
    mixed_up: int = 0  # enrolled people under another person's name
    thresholds: list[float] = field(default_factory=list)

    @property
    def allowed(self) -> int:
        """Largest number of false names of a system at exactly the target FPIR, at 95%."""
        from scipy.stats import binom  # noqa: PLC0415 - loads for a second

        return int(binom.ppf(_CONFIDENCE, self.strangers, self.wanted))

    @property
    def tpir(self) -> float:
        """True positive identification rate."""
        return self.named / self.own

    @property
    def good(self) -> bool:
        """True if the goal of this rate is met, or names are right where there is no goal."""
        goal = GOALS[self.shots] if self.wanted == GOAL_RATE else 0.0
        return self.false_names <= self.allowed and not self.mixed_up and self.tpir >= goal


def split(portraits: Portraits, seed: int) -> Split:
    """Draw the people of each group, and calibrate."""
    random = np.random.default_rng(seed)
    people, good = portraits.observations, portraits.good()
    names = random.permutation(sorted(people)).tolist()
    gallery: dict[str, list[Vector]] = {}
    own: dict[int, list[tuple[str, Track]]] = {shots: [] for shots in SHOTS}
    strange: dict[int, list[Track]] = {shots: [] for shots in SHOTS}
    for name in names[CALIBRATED : CALIBRATED + ENROLLED]:
        order = random.permutation(len(people[name])).tolist()
        photos = [index for index in order if people[name][index].id in portraits.photos][:PHOTOS]
        gallery[name] = [people[name][index].embedding for index in photos]
        remaining = [people[name][index] for index in order if index not in photos]
        for shots in SHOTS:
            own[shots] += [(name, track) for track in _tracks(remaining, shots, random)]
    for name in names[CALIBRATED + ENROLLED :]:
        for shots in SHOTS:
            strange[shots] += _tracks(people[name], shots, random)
    calibrated = {name: good[name] for name in names[:CALIBRATED]}
    source = f"{CALIBRATED} people of the ORL portraits, seed {seed}"
    fitted = calibrate(portraits.pack, calibrated, source)
    return Split(fitted.calibration, gallery, own, strange, portraits.usable)


def _tracks(
    observations: Sequence[Observation], number: int, random: np.random.Generator
) -> Iterator[Track]:
    """Yield as many tracks as there are observations."""
    for first in range(len(observations)):
        other_indexes = [index for index in range(len(observations)) if index != first]
        drawn = random.choice(other_indexes, number - 1, replace=False)
        yield [observations[first], *(observations[index] for index in drawn)]


def named(track: Track, part: Split, scale: ScoreScale) -> str:
    """Decide a track among the enrolled people alone; return the name, or an empty one."""
    observations = [observation for observation in track if observation.id in part.usable]
    if not observations:
        return ""
    evidence = combine(observations, scale.min_agreement)
    scores = [
        Candidate(name, score_of(evidence.template, templates, mean_of(templates)))
        for name, templates in part.gallery.items()
    ]
    best = sorted(scores, key=lambda candidate: (-candidate.score, candidate.key))
    rules = DecisionRules(target_fpir=scale.target_fpir)
    decision = decide(evidence, CandidateSet(best, scale), CandidateSet([], scale), rules)
    return decision.key if decision.status == "enrolled" else ""


def names_of(track: Track, part: Split, scale: ScoreScale, growing: bool) -> set[str]:
    """Return the names a track gets: from all observations, or while they arrive."""
    parts = [track[:end] for end in range(1, len(track) + 1)] if growing else [track]
    return {named(prefix, part, scale) for prefix in parts} - {""}


def count(parts: Sequence[Split], wanted: float, shots: int, growing: bool = False) -> Count:
    """Decide all tracks, once or with every observation."""
    total = Count(wanted, shots, growing)
    for part in parts:
        scale = part.calibration.scale(len(part.gallery), wanted)
        total.thresholds.append(scale.threshold(shots))
        for track in part.strange[shots]:
            total.strangers += 1
            total.false_names += bool(names_of(track, part, scale, growing))
        for name, track in part.own[shots]:
            names = names_of(track, part, scale, growing)
            total.own += 1
            total.named += names == {name}
            total.mixed_up += bool(names - {name})
    return total


def _print(pack: str, counts: Sequence[Count]) -> None:
    table = Table(title=f"{pack}: {ENROLLED} enrolled, calibrated on {CALIBRATED} others")
    for column in ("wanted", "shots", "threshold", "names", "of", "at most", "FPIR", "TPIR", ""):
        table.add_column(column, justify="right")
    for result in counts:
        promised = [score for score in result.thresholds if np.isfinite(score)]
        table.add_row(
            f"{result.wanted:g}",
            f"1 to {result.shots}" if result.growing else str(result.shots),
            f"{min(promised):.3f}-{max(promised):.3f}" if promised else "not promised",
            str(result.false_names),
            str(result.strangers),
            str(result.allowed),
            f"{result.false_names / result.strangers:.2%}",
            f"{result.tpir:.2%}",
            "" if result.good else "missed",
        )
    console.print(table)


def main(seeds: int = SEEDS) -> dict[str, Any]:
    """Measure and print; the numbers by name, empty where there are no portraits."""
    if not ORL.is_dir():
        console.print("identity: skipped, no ORL portraits in ../shared")
        return {}
    numbers: dict[str, Any] = {}
    for settings in packs():
        portraits = orl_portraits(settings)
        pack = portraits.pack
        parts = [split(portraits, seed) for seed in range(1, seeds + 1)]
        cases = [*((shots, False) for shots in SHOTS), (SHOTS[-1], True)]
        counts = [count(parts, wanted, *case) for wanted in RATES for case in cases]
        _print(pack, counts)
        kind = pack.partition("_")[0]
        goal = [result for result in counts if result.wanted == GOAL_RATE and not result.growing]
        for result in goal:
            numbers[f"{kind}_false_names_{result.shots}"] = result.false_names
            numbers[f"{kind}_tpir_{result.shots}"] = round(result.tpir, 4)
        numbers[f"{kind}_goal"] = all(result.good for result in goal)
        numbers |= crowd.measure(kind, portraits, console)
    return numbers


if __name__ == "__main__":
    run_as_program("bench", lambda: print(json.dumps(main(*map(int, sys.argv[1:2])))))
