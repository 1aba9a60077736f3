"""False names in a growing gallery of synthetic people.

People are drawn around the real ones: directions with the mean and the spread that real people's
have, each with three photos that differ as real photos of one person do. In how many directions
they spread is set so that real people's scores against them are those of the calibration's
impostors. Unknown persons' tracks, drawn around the real people, are then searched exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq

from benchmarks.crowd_numbers import unit
from benchmarks.portraits import Portraits
from processors.match.candidates import Candidate
from processors.match.decision.identification import CandidateSet, DecisionRules, decide
from sightline.identity.calibration import Calibration, builtin_calibration
from sightline.identity.evidence import Evidence, Observation
from sightline.identity.scale import ScoreScale

SIZES = (100, 1_000, 10_000, 100_000)
UNKNOWN_TRACKS = 2_000
"""Tracks of the 40 real people, with observations drawn around them."""
OBSERVATIONS, PHOTOS = 3, 3
TARGET_FPIR = 1e-3
_SEED = 7
_ROWS = 200
"""Tracks searched at once: 200 x 400,000 scores are 320 MB."""
_SAMPLE = 2_000
_FITTED_RATE = 1e-3
_OBSERVATION_IDS = tuple(f"shot {number}" for number in range(OBSERVATIONS))

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Distribution of real faces, from which synthetic ones are drawn."""

    mean: NDArray[np.float64]  # (d,) of all people
    spread: NDArray[np.float64]  # (d, d): maps white noise to how people differ
    moods: Matrix  # (n, d): how single shots differ from their person

    def people(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Draw the directions of people, (count, d)."""
        noise = random.standard_normal((count, len(self.mean)))
        return self.mean + noise @ self.spread.T

    def observations(
        self, people: NDArray[np.float64], each: int, random: np.random.Generator
    ) -> Matrix:
        """Draw observations of people, (people, each, d), unit length."""
        moods = self.moods[random.integers(len(self.moods), size=(len(people), each))]
        return unit(people[:, None] + moods)


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """People's templates and their means, unit length."""

    templates: Matrix  # (people, photos, d)
    means: Matrix  # (people, d)

    def best(self, tracks: Matrix, people: int) -> tuple[Matrix, NDArray[np.int64]]:
        """Return scores and indexes of the two best of the first people, (tracks, 2) each."""
        scores, places = [], []
        for first in range(0, len(tracks), _ROWS):
            batch = tracks[first : first + _ROWS]
            all_scores = self.scores(batch, people)
            two = np.argpartition(-all_scores, 1, axis=1)[:, :2]
            order = np.argsort(-np.take_along_axis(all_scores, two, 1), axis=1)
            two = np.take_along_axis(two, order, 1)
            places.append(two)
            scores.append(np.take_along_axis(all_scores, two, 1))
        return np.concatenate(scores), np.concatenate(places)

    def scores(self, tracks: Matrix, people: int) -> Matrix:
        """Score tracks against people, (tracks, people): half best template, half mean template."""
        best = tracks @ self.templates[:people, 0].T
        for photo in range(1, self.templates.shape[1]):
            np.maximum(best, tracks @ self.templates[:people, photo].T, out=best)
        best += tracks @ self.means[:people].T
        best /= 2
        return best


def crowd_of(observations: Matrix) -> Crowd:
    """Build a crowd enrolled with photos (people, photos, d)."""
    return Crowd(observations, unit(observations.sum(axis=1)))


def faces_like(people: Sequence[Sequence[Observation]], calibration: Calibration) -> Faces:
    """Fit faces whose scores against real people's tracks match the calibration at 1e-3."""
    centres = np.array([np.mean([shot.embedding for shot in own], axis=0) for own in people])
    pairs = zip(people, centres, strict=True)
    moods = np.concatenate([[shot.embedding - centre for shot in own] for own, centre in pairs])
    mean = centres.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(np.cov((centres - mean).T))
    values = np.maximum(values, 0.0)
    queries = unit(centres)
    target_score = calibration.threshold_at(OBSERVATIONS, _FITTED_RATE)

    def faces(fraction: float) -> Faces:
        # Forty people differ in 39 directions only: the others get a fraction of the spread.
        spread = (1 - fraction) * values + fraction * values.mean()
        return Faces(mean, axes * np.sqrt(spread), np.asarray(moods, np.float32))

    def excess(fraction: float) -> float:
        random = np.random.default_rng(_SEED)
        drawn = faces(fraction)
        crowd = crowd_of(drawn.observations(drawn.people(_SAMPLE, random), PHOTOS, random))
        return float(np.quantile(crowd.scores(queries, _SAMPLE), 1 - _FITTED_RATE)) - target_score

    return faces(float(brentq(excess, 0.0, 1.0, xtol=1e-3)))


def measure(kind: str, portraits: Portraits, console: Console) -> dict[str, Any]:
    """Search unknown and enrolled people in galleries of growing size, and print."""
    calibration = builtin_calibration(portraits.pack)
    people = list(portraits.good().values())
    faces = faces_like(people, calibration)
    random = np.random.default_rng(_SEED)
    crowd = crowd_of(faces.observations(faces.people(SIZES[-1], random), PHOTOS, random))
    centres = np.array([np.mean([shot.embedding for shot in own], axis=0) for own in people])
    drawn = centres[np.arange(UNKNOWN_TRACKS) % len(centres)]
    unknown_tracks = unit(faces.observations(drawn, OBSERVATIONS, random).sum(axis=1))
    enrolled, own_tracks = _enrolled(people, random)
    table = Table(
        title=f"{portraits.pack}: unknown persons in a growing gallery, target {TARGET_FPIR:g}"
    )
    for column in ("people", "threshold", "names", "of", "at most", "as for 100", "TPIR"):
        table.add_column(column, justify="right")
    numbers: dict[str, Any] = {}
    fixed = calibration.scale(SIZES[0], TARGET_FPIR)
    for size in SIZES:
        scale = calibration.scale(size, TARGET_FPIR)
        best = crowd.best(unknown_tracks, size)
        names = sum(_named(*pair, scale) is not None for pair in zip(*best, strict=True))
        loose = sum(_named(*pair, fixed) is not None for pair in zip(*best, strict=True))
        right = _right(enrolled, own_tracks, crowd, size, scale)
        from scipy.stats import binom  # noqa: PLC0415 - loads for a second

        allowed = int(binom.ppf(0.95, UNKNOWN_TRACKS, TARGET_FPIR))
        counts = map(str, (names, UNKNOWN_TRACKS, allowed, loose))
        table.add_row(f"{size:,}", f"{scale.threshold(OBSERVATIONS):.3f}", *counts, f"{right:.2%}")
        numbers[f"{kind}_false_names_among_{size}"] = names
    console.print(table)
    return numbers


def _enrolled(
    people: Sequence[Sequence[Observation]], random: np.random.Generator
) -> tuple[Crowd, Matrix]:
    """Enrol the real people with three photos; return them and a track of three others each."""
    orders = [random.permutation(len(own)) for own in people]
    drawn = [[own[at].embedding for at in order] for own, order in zip(people, orders, strict=True)]
    photos = np.array([own[:PHOTOS] for own in drawn], np.float32)
    tracks = np.array([np.sum(own[PHOTOS : PHOTOS + OBSERVATIONS], axis=0) for own in drawn])
    return crowd_of(photos), unit(tracks)


def _right(
    enrolled: Crowd, own_tracks: Matrix, crowd: Crowd, size: int, scale: ScoreScale
) -> float:
    """Return the true positive identification rate of the real people among all, 0 to 1."""
    real = enrolled.scores(own_tracks, len(own_tracks))
    crowd_scores, _ = crowd.best(own_tracks, size)
    right = 0
    for number, scores in enumerate(real):
        best = int(np.argmax(scores))
        second = max(float(np.delete(scores, best).max()), float(crowd_scores[number, 0]))
        top = np.array([scores[best], second])
        right += _named(top, np.array([best, -1]), scale) == best == number
    return right / len(own_tracks)


def _named(scores: NDArray[Any], places: NDArray[Any], scale: ScoreScale) -> int | None:
    """Decide as the product does from the two best scores; return the named index or None."""
    best = [
        Candidate(str(place), float(score)) for score, place in zip(scores, places, strict=True)
    ]
    best.sort(key=lambda candidate: -candidate.score)
    evidence = Evidence(np.zeros(0, np.float32), _OBSERVATION_IDS, _OBSERVATION_IDS[0])
    decision = decide(
        evidence,
        CandidateSet(best, scale),
        CandidateSet([], scale),
        DecisionRules(target_fpir=TARGET_FPIR),
    )
    return int(decision.key) if decision.status == "enrolled" else None
