"""Does a growing gallery raise the rate of false names?

People are drawn around the real ones: directions with the mean and the spread that real people's
have, each with three photos that differ as real photos of one person do. In how many directions
they spread is set so that real people's scores against them are those of the calibration's
impostors. Strangers' tracks, drawn around the real people, are then searched exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.stats import binom

from benchmarks.portraits import Portraits
from processors.match.decide import Candidate, Choice, Rules, decide
from sightline.identity.calibration import Calibration, builtin
from sightline.identity.evidence import Evidence, Shot
from sightline.identity.scale import Scale

SIZES = (100, 1_000, 10_000, 100_000)
STRANGERS = 2_000
"""Tracks: of the 40 real people, with shots drawn around them."""
SHOTS, PHOTOS = 3, 3
WANTED = 1e-3
_SEED = 7
_ROWS = 200
"""Tracks searched at once: 200 x 400,000 scores are 320 MB."""
_SAMPLE = 2_000
_FITTED_RATE = 1e-3
_SHOT_IDS = tuple(f"shot {number}" for number in range(SHOTS))

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """What real faces are like, to draw others from."""

    mean: NDArray[np.float64]  # (d,) of all people
    spread: NDArray[np.float64]  # (d, d): maps white noise to how people differ
    moods: Matrix  # (n, d): how single shots differ from their person

    def people(self, count: int, random: np.random.Generator) -> NDArray[np.float64]:
        """(count, d): directions of drawn people."""
        noise = random.standard_normal((count, len(self.mean)))
        return self.mean + noise @ self.spread.T

    def shots(self, people: NDArray[np.float64], each: int, random: np.random.Generator) -> Matrix:
        """(people, each, d), unit length."""
        moods = self.moods[random.integers(len(self.moods), size=(len(people), each))]
        return _unit(people[:, None] + moods)


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """People's templates and their means, unit length."""

    templates: Matrix  # (people, photos, d)
    means: Matrix  # (people, d)

    def best(self, tracks: Matrix, people: int) -> tuple[Matrix, NDArray[np.int64]]:
        """Scores and places of the two best of the first people, (tracks, 2) each."""
        scores, places = [], []
        for first in range(0, len(tracks), _ROWS):
            some = tracks[first : first + _ROWS]
            all_scores = self.scores(some, people)
            two = np.argpartition(-all_scores, 1, axis=1)[:, :2]
            order = np.argsort(-np.take_along_axis(all_scores, two, 1), axis=1)
            two = np.take_along_axis(two, order, 1)
            places.append(two)
            scores.append(np.take_along_axis(all_scores, two, 1))
        return np.concatenate(scores), np.concatenate(places)

    def scores(self, tracks: Matrix, people: int) -> Matrix:
        """(tracks, people): half the cosine to the best template, half that to the mean."""
        best = tracks @ self.templates[:people, 0].T
        for photo in range(1, self.templates.shape[1]):
            np.maximum(best, tracks @ self.templates[:people, photo].T, out=best)
        best += tracks @ self.means[:people].T
        best /= 2
        return best


def _unit(vectors: NDArray[Any]) -> Matrix:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def crowd_of(shots: Matrix) -> Crowd:
    """People enrolled with these photos."""
    return Crowd(shots, _unit(shots.sum(axis=1)))


def faces_like(people: Sequence[Sequence[Shot]], calibration: Calibration) -> Faces:
    """Faces that real people's tracks score against as the calibration says, at a rate of 1e-3."""
    centres = np.array([np.mean([shot.vector for shot in own], axis=0) for own in people])
    moods = np.concatenate(
        [
            [shot.vector - centre for shot in own]
            for own, centre in zip(people, centres, strict=True)
        ]
    )
    mean = centres.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(np.cov((centres - mean).T))
    values = np.maximum(values, 0.0)
    probes = _unit(centres)
    wanted = calibration.reached(SHOTS, _FITTED_RATE)

    def faces(share: float) -> Faces:
        # Forty people differ in 39 directions only: the others get a share of the spread.
        spread = (1 - share) * values + share * values.mean()
        return Faces(mean, axes * np.sqrt(spread), np.asarray(moods, np.float32))

    def excess(share: float) -> float:
        random = np.random.default_rng(_SEED)
        drawn = faces(share)
        crowd = crowd_of(drawn.shots(drawn.people(_SAMPLE, random), PHOTOS, random))
        return float(np.quantile(crowd.scores(probes, _SAMPLE), 1 - _FITTED_RATE)) - wanted

    return faces(float(brentq(excess, 0.0, 1.0, xtol=1e-3)))


def measure(kind: str, portraits: Portraits, console: Console) -> dict[str, Any]:
    """Search strangers and enrolled people in galleries of growing size, and print."""
    calibration = builtin(portraits.pack)
    people = list(portraits.good().values())
    faces = faces_like(people, calibration)
    random = np.random.default_rng(_SEED)
    crowd = crowd_of(faces.shots(faces.people(SIZES[-1], random), PHOTOS, random))
    centres = np.array([np.mean([shot.vector for shot in own], axis=0) for own in people])
    whose = np.arange(STRANGERS) % len(centres)
    strangers = _unit(faces.shots(centres[whose], SHOTS, random).sum(axis=1))
    owned, own = _enrolled(people, random)
    table = Table(title=f"{portraits.pack}: strangers in a growing gallery, {WANTED:g} wanted")
    for column in ("people", "threshold", "names", "of", "at most", "as for 100", "TPIR"):
        table.add_column(column, justify="right")
    numbers: dict[str, Any] = {}
    fixed = calibration.scale(SIZES[0], WANTED)
    for size in SIZES:
        scale = calibration.scale(size, WANTED)
        found = crowd.best(strangers, size)
        names = sum(_named(*pair, scale) is not None for pair in zip(*found, strict=True))
        loose = sum(_named(*pair, fixed) is not None for pair in zip(*found, strict=True))
        right = _right(owned, own, crowd, size, scale)
        table.add_row(
            f"{size:,}",
            f"{scale.threshold(SHOTS):.3f}",
            str(names),
            str(STRANGERS),
            str(int(binom.ppf(0.95, STRANGERS, WANTED))),
            str(loose),
            f"{right:.2%}",
        )
        numbers[f"{kind}_false_names_among_{size}"] = names
    console.print(table)
    return numbers


def _enrolled(
    people: Sequence[Sequence[Shot]], random: np.random.Generator
) -> tuple[Crowd, Matrix]:
    """The real people enrolled with three photos, and a track of three others of each."""
    orders = [random.permutation(len(own)) for own in people]
    drawn = [[own[at].vector for at in order] for own, order in zip(people, orders, strict=True)]
    photos = np.array([own[:PHOTOS] for own in drawn], np.float32)
    tracks = np.array([np.sum(own[PHOTOS : PHOTOS + SHOTS], axis=0) for own in drawn])
    return crowd_of(photos), _unit(tracks)


def _right(owned: Crowd, own: Matrix, crowd: Crowd, size: int, scale: Scale) -> float:
    """How many of the real people's tracks get the right name among all others, 0 to 1."""
    real = owned.scores(own, len(own))
    others, _ = crowd.best(own, size)
    right = 0
    for number, scores in enumerate(real):
        best = int(np.argmax(scores))
        second = max(float(np.delete(scores, best).max()), float(others[number, 0]))
        top = np.array([scores[best], second])
        right += _named(top, np.array([best, -1]), scale) == best == number
    return right / len(own)


def _named(scores: NDArray[Any], places: NDArray[Any], scale: Scale) -> int | None:
    """Whom the product names, given the two best, best first."""
    best = [
        Candidate(str(place), float(score)) for score, place in zip(scores, places, strict=True)
    ]
    best.sort(key=lambda one: -one.score)
    evidence = Evidence(np.zeros(0, np.float32), _SHOT_IDS, _SHOT_IDS[0])
    decision = decide(evidence, Choice(best, scale), Choice([], scale), Rules(wanted_rate=WANTED))
    return int(decision.key) if decision.status == "enrolled" else None
