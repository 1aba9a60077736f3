"""Scores of labelled portraits by pairs of people, computed as for decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.calibration.score_tail import Doubles
from sightline.identity.evidence import Observation, Vector, combine, mean_of, score_of

People = Mapping[str, Sequence[Observation]]
"""Portraits by person."""

MAX_PEOPLE = 400
"""Limit of one measurement: the work grows with the pairs, of which these are 80,000."""

_TRACKS_PER_PERSON = 10
"""Random tracks drawn from a person's portraits."""
_ENROLMENTS_PER_PERSON = 4
_SPLITS_PER_PERSON = 20
"""Random splits of a person's portraits into a track and photos."""


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """Scores of tracks of each of n people against each other person."""

    names: list[str]
    mean: Doubles
    """Mean scores (n, n) by track's person and enrolled person; the diagonal is 0."""
    square: Doubles
    """Mean of the squared scores (n, n)."""
    scores: NDArray[np.float32]
    """All scores (m,), increasing."""
    weights: Doubles
    """Weights (m,) of the scores: each pair of people weighs the same; the sum is 1."""

    def scores_at(self, rate: Doubles) -> Doubles:
        """Return the scores at false match rates (k,); the highest score if a rate is below all."""
        above = 1.0 - np.cumsum(self.weights)
        index = np.searchsorted(-above, -rate)
        return np.asarray(self.scores[np.minimum(index, len(self.scores) - 1)], np.float64)

    def most_alike(self) -> tuple[str, str, float]:
        """Return the two people with the highest mean score, and that score."""
        symmetric = (self.mean + self.mean.T) / 2
        first, second = np.unravel_index(int(np.argmax(symmetric)), symmetric.shape)
        return self.names[first], self.names[second], float(symmetric[first, second])


def agreement(people: People, level: float) -> float:
    """Return the cosine that all but the fraction `level` of mated pairs reach."""
    cosines, weights = [], []
    for observations in people.values():
        if len(observations) < 2:
            continue
        vectors = np.stack([observation.embedding for observation in observations])
        pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
        cosines.append(pairs)
        weights.append(np.full(len(pairs), 1 / len(pairs)))
    return float(quantiles(np.concatenate(cosines), np.concatenate(weights), np.array([level]))[0])


def quantiles(values: NDArray[np.float32], weights: Doubles, levels: Doubles) -> Doubles:
    """Return weighted quantiles (k,) of values (n,) at levels (k,)."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order]) / weights.sum()
    index = np.minimum(np.searchsorted(cumulative, levels), len(values) - 1)
    return np.asarray(values[order][index], np.float64)


def pair_scores(
    people: People, observations: int, photos: int, agree: float, random: np.random.Generator
) -> PairScores | None:
    """Score tracks of agreeing observations against other people's photos.

    Returns None if fewer than two people have enough portraits.
    """
    minimum = max(observations, photos)
    candidates = [name for name, portraits in people.items() if len(portraits) >= minimum]
    if len(candidates) > MAX_PEOPLE:
        candidates = sorted(random.choice(candidates, MAX_PEOPLE, replace=False).tolist())
    drawn = {name: _tracks(people[name], observations, agree, random) for name in candidates}
    names = [name for name in candidates if drawn[name]]
    if len(names) < 2:
        return None
    tracks = np.concatenate([np.stack(drawn[name]) for name in names])
    counts = np.array([len(drawn[name]) for name in names])
    person_index = np.repeat(np.arange(len(names)), counts)
    mean, square = np.zeros((2, len(names), len(names)))
    scores, weights = [], []
    for other, name in enumerate(names):
        name_scores = _scores(
            tracks, _enrolments(people[name], photos, random)
        )  # (tracks, enrolments)
        mean[:, other] = np.bincount(person_index, name_scores.mean(axis=1)) / counts
        square[:, other] = np.bincount(person_index, (name_scores**2).mean(axis=1)) / counts
        different = person_index != other
        scores.append(name_scores[different].ravel())
        weights.append(
            np.repeat(1 / counts[person_index[different]], name_scores.shape[1])
            / name_scores.shape[1]
        )
    np.fill_diagonal(mean, 0.0)
    np.fill_diagonal(square, 0.0)
    values, pair_weights = np.concatenate(scores), np.concatenate(weights)
    order = np.argsort(values, kind="stable")
    return PairScores(names, mean, square, values[order], pair_weights[order] / pair_weights.sum())


def mated_scores(
    people: People, observations: int, photos: int, agree: float, random: np.random.Generator
) -> list[list[float]]:
    """Score tracks against other photos of the same person; one list per person with enough."""
    scores = []
    for portraits in people.values():
        if len(portraits) < observations + photos:
            continue
        person_scores = []
        for _ in range(_SPLITS_PER_PERSON):
            order = random.permutation(len(portraits))[: observations + photos]
            track = combine([portraits[index] for index in order[photos:]], agree)
            if track.count == observations:
                templates = [portraits[index].embedding for index in order[:photos]]
                person_scores.append(score_of(track.template, templates, mean_of(templates)))
        if person_scores:
            scores.append(person_scores)
    return scores


def _tracks(
    person_photos: Sequence[Observation],
    observations: int,
    agree: float,
    random: np.random.Generator,
) -> list[Vector]:
    if observations == 1:
        return [observation.embedding for observation in person_photos]
    drawn = [
        random.choice(len(person_photos), observations, replace=False)
        for _ in range(_TRACKS_PER_PERSON)
    ]
    tracks = [combine([person_photos[index] for index in indexes], agree) for indexes in drawn]
    return [track.template for track in tracks if track.count == observations]


def _enrolments(
    person_photos: Sequence[Observation], photos: int, random: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Return the templates (photos + 1, d) of random enrolments; the last one is their mean."""
    drawn = [
        random.choice(len(person_photos), photos, replace=False)
        for _ in range(_ENROLMENTS_PER_PERSON)
    ]
    templates = [[person_photos[index].embedding for index in indexes] for indexes in drawn]
    return [np.stack([*vectors, mean_of(vectors)]) for vectors in templates]


def _scores(
    tracks: NDArray[np.float32], enrolments: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Score tracks against enrolments as `score_of` does; shape (tracks, enrolments)."""
    columns = []
    for templates in enrolments:
        cosines = tracks @ templates.T
        columns.append((cosines[:, :-1].max(axis=1) + cosines[:, -1]) / 2)
    return np.stack(columns, axis=1)
