"""Scores of labelled portraits, by pairs of people: the very score that decisions go by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.calibration.tail import Doubles
from sightline.identity.evidence import Shot, Vector, combine, mean_of, score_of

People = Mapping[str, Sequence[Shot]]
"""Portraits by person."""

MAX_PEOPLE = 400
"""Of one measurement: the work grows with the pairs, and these are 80,000."""

_TRACKS = 10
"""Drawn from a person's portraits."""
_ENROLMENTS = 4
_SPLITS = 20
"""Of a person's portraits into a track and photos."""


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """How tracks of each person score against each other person, n people."""

    names: list[str]
    mean: Doubles
    """(n, n): track's person, enrolled person; the diagonal is 0."""
    square: Doubles
    """(n, n): mean of the squares."""
    scores: NDArray[np.float32]
    """(m,): all scores, rising."""
    weights: Doubles
    """(m,): of those scores: all pairs together weigh alike; the sum is 1."""

    def seen(self, rate: Doubles) -> Doubles:
        """The scores that were reached at rates; the highest where a rate is below all."""
        above = 1.0 - np.cumsum(self.weights)
        at = np.searchsorted(-above, -rate)
        return np.asarray(self.scores[np.minimum(at, len(self.scores) - 1)], np.float64)

    def most_alike(self) -> tuple[str, str, float]:
        """The two different people who score highest, and how high in the mean."""
        both = (self.mean + self.mean.T) / 2
        one, other = np.unravel_index(int(np.argmax(both)), both.shape)
        return self.names[one], self.names[other], float(both[one, other])


def agreement(people: People, level: float) -> float:
    """The cosine that all but `level` of the pairs of shots of one person have."""
    cosines, weights = [], []
    for shots in people.values():
        if len(shots) < 2:
            continue
        vectors = np.stack([shot.vector for shot in shots])
        pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        cosines.append(pairs)
        weights.append(np.full(len(pairs), 1 / len(pairs)))
    return float(quantiles(np.concatenate(cosines), np.concatenate(weights), np.array([level]))[0])


def quantiles(values: NDArray[np.float32], weights: Doubles, levels: Doubles) -> Doubles:
    """Weighted quantiles of (n,) values."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    at = np.minimum(np.searchsorted(reached, levels), len(values) - 1)
    return np.asarray(values[order][at], np.float64)


def pair_scores(
    people: People, shots: int, photos: int, agree: float, random: np.random.Generator
) -> PairScores | None:
    """Tracks of so many shots that all agree, against other people with so many photos.

    None where fewer than two people have enough portraits.
    """
    enough = [name for name, own in people.items() if len(own) >= max(shots, photos)]
    if len(enough) > MAX_PEOPLE:
        enough = sorted(random.choice(enough, MAX_PEOPLE, replace=False).tolist())
    drawn = {name: _tracks(people[name], shots, agree, random) for name in enough}
    names = [name for name in enough if drawn[name]]
    if len(names) < 2:
        return None
    tracks = np.concatenate([np.stack(drawn[name]) for name in names])
    counts = np.array([len(drawn[name]) for name in names])
    whose = np.repeat(np.arange(len(names)), counts)
    mean, square = np.zeros((2, len(names), len(names)))
    scores, weights = [], []
    for other, name in enumerate(names):
        own = _scores(tracks, _enrolments(people[name], photos, random))  # (tracks, enrolments)
        mean[:, other] = np.bincount(whose, own.mean(axis=1)) / counts
        square[:, other] = np.bincount(whose, (own**2).mean(axis=1)) / counts
        different = whose != other
        scores.append(own[different].ravel())
        weights.append(np.repeat(1 / counts[whose[different]], own.shape[1]) / own.shape[1])
    np.fill_diagonal(mean, 0.0)
    np.fill_diagonal(square, 0.0)
    values, shares = np.concatenate(scores), np.concatenate(weights)
    order = np.argsort(values, kind="stable")
    return PairScores(names, mean, square, values[order], shares[order] / shares.sum())


def own_scores(
    people: People, shots: int, photos: int, agree: float, random: np.random.Generator
) -> list[list[float]]:
    """Scores of tracks against the same person's other photos, for each person who has enough."""
    scores = []
    for own in people.values():
        if len(own) < shots + photos:
            continue
        found = []
        for _ in range(_SPLITS):
            order = random.permutation(len(own))[: shots + photos]
            track = combine([own[at] for at in order[photos:]], agree)
            if track.count == shots:
                templates = [own[at].vector for at in order[:photos]]
                found.append(score_of(track.template, templates, mean_of(templates)))
        if found:
            scores.append(found)
    return scores


def _tracks(
    own: Sequence[Shot], shots: int, agree: float, random: np.random.Generator
) -> list[Vector]:
    if shots == 1:
        return [shot.vector for shot in own]
    drawn = [random.choice(len(own), shots, replace=False) for _ in range(_TRACKS)]
    tracks = [combine([own[at] for at in one], agree) for one in drawn]
    return [track.template for track in tracks if track.count == shots]


def _enrolments(
    own: Sequence[Shot], photos: int, random: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Templates (photos + 1, d) each: the last is their mean."""
    drawn = [random.choice(len(own), photos, replace=False) for _ in range(_ENROLMENTS)]
    templates = [[own[at].vector for at in one] for one in drawn]
    return [np.stack([*one, mean_of(one)]) for one in templates]


def _scores(
    tracks: NDArray[np.float32], enrolments: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """(tracks, enrolments): as `score_of` has it."""
    columns = []
    for templates in enrolments:
        cosines = tracks @ templates.T
        columns.append((cosines[:, :-1].max(axis=1) + cosines[:, -1]) / 2)
    return np.stack(columns, axis=1)
