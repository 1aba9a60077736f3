"""Fit a calibration to labelled portraits.

The unit of the sample is the person, not the observation. A look-alike is a pair of people:
however many observations of the two are compared, they are one pair, and the pairs of one person
are correlated. So all pairs weigh the same, and the uncertainty comes from a bootstrap over people.

The bound of a score at a false match rate: the tail is fitted to bootstrap samples of people (a
person is never compared with themselves), which gives the standard error of ln(1 - score); a
quantile of Student's t with one degree of freedom less than there are people says how many
standard errors to add. So the bound falls as more people are measured. It is never below a counted
quantile: if more of the measured comparisons reach a score than a rate allows, the bound of the
rate is above that score.

A rate is promised while its doubt is at most `MAX_DOUBT`: the factor by which the estimated rate
at a bound with 90% confidence is smaller than the rate itself. Beyond, the sample says too little
about the tail.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import stdtrit

from ops.calibration import measure
from ops.calibration.measure import PairScores, People
from ops.calibration.score_tail import Doubles, ScoreTail, tail_of
from sightline.identity.calibration import (
    UNKNOWN_PERSON_OBSERVATIONS,
    Calibration,
    MatedScores,
    NonMatedScores,
)
from sightline.runtime.errors import SightlineError

OBSERVATIONS = (1, 2, 3, 5)
PHOTOS = (1, 3)
CONFIDENCE = 0.75
"""Confidence of a bound. With it the target FPIR is met on the average of calibrations: with 40
random tens of ORL people, MobileFaceNet named 8.5%, .9% and .1% of 6,000 tracks of unknown persons
at targets of 10%, 1% and .1%, and dlib 7.7%, .6% and .07%."""
MAX_DOUBT = 1000.0
_DOUBT_CONFIDENCE = 0.9
MIN_PEOPLE = 5
"""With fewer people there are not ten pairs."""

RATES = tuple(float(f"{10 ** (-step / 4):.3g}") for step in range(1, 37))
"""False match rates down to 1e-9: a million people at 1e-3. No tail is trusted beyond."""
LEVELS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9)

_AGREE_LEVEL = 0.02
"""Fraction of mated pairs of observations that may count as disagreeing."""
_AGREE_RATE = 0.01
"""Fraction of non-mated pairs of observations that may count as agreeing."""
_UNKNOWN_PERSON_LEVEL = 0.001
"""Upper bound of the fraction of an enrolled person's tracks taken for a new unknown person. It is
so small that the lowest measured score counts: cameras see worse than portraits."""
_LEAD_RATE, _LEAD_FACTOR = 1e-4, 5.0
"""The lead is the difference of the scores at two rates that differ by this factor."""

_BOOTSTRAP_SAMPLES = 400
_SEED = 20_040_229
_DIGITS = 4

Progress = Callable[[float], None]
"""Callback with the completed fraction, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted calibration, and the pair of people to check for being one person."""

    calibration: Calibration
    most_alike: tuple[str, str, float]
    """Two people and their mean score; they may be the same person."""


def calibrate(
    pack: str,
    people: People,
    source: str,
    *,
    impostors: People | None = None,
    progress: Progress = lambda _: None,
) -> Fitted:
    """Fit a calibration of a pack to people's portraits.

    Non-mated comparisons are made among `impostors` if given, else among the same people. Raises
    SightlineError if there are too few people.
    """
    mated_people = {name: portraits for name, portraits in people.items() if len(portraits) >= 2}
    _check_number(mated_people, "people with two usable portraits or more")
    non_mated_people = mated_people
    if impostors is not None:
        non_mated_people = {name: portraits for name, portraits in impostors.items() if portraits}
    _check_number(non_mated_people, "people to compare as different persons")
    random = np.random.default_rng(_SEED)
    agree = _agreement(mated_people, non_mated_people, random)
    cases = list(product(OBSERVATIONS, PHOTOS))
    non_mated: list[NonMatedScores] = []
    mated: list[MatedScores] = []
    most_alike = ("", "", -1.0)
    for number, (observations, photos) in enumerate(cases):
        pairs = measure.pair_scores(non_mated_people, observations, photos, agree, random)
        if pairs is not None and len(pairs.names) >= MIN_PEOPLE:
            non_mated.append(_impostors(pairs, observations, photos, random))
            most_alike = max(most_alike, pairs.most_alike(), key=lambda pair: pair[2])
        scores = measure.mated_scores(mated_people, observations, photos, agree, random)
        if len(scores) >= MIN_PEOPLE:
            mated.append(_genuine(scores, observations, photos, random))
        progress((number + 1) / len(cases))
    calibration = _assembled(pack, non_mated_people, source, agree, non_mated, mated)
    return Fitted(calibration, most_alike)


def _agreement(
    mated_people: People, non_mated_people: People, random: np.random.Generator
) -> float:
    """Return the cosine from which on two observations agree to show one person.

    Few mated pairs are below it, and few non-mated pairs above.
    """
    single = measure.pair_scores(non_mated_people, 1, 1, 0.0, random)
    score = single.scores_at(np.array([_AGREE_RATE]))[0] if single else -1.0
    return round(max(measure.agreement(mated_people, _AGREE_LEVEL), float(score)), _DIGITS)


def _check_number(people: People, description: str) -> None:
    if len(people) < MIN_PEOPLE:
        raise SightlineError(
            f"{len(people)} {description}; a calibration takes {MIN_PEOPLE} at least"
        )


def _assembled(
    pack: str,
    people: People,
    source: str,
    agree: float,
    non_mated: list[NonMatedScores],
    mated: list[MatedScores],
) -> Calibration:
    if not mated or not any(case.shots == 1 for case in non_mated):
        raise SightlineError("too few of the portraits agree with each other to measure anything")
    observations = max(
        case.shots for case in non_mated if case.shots <= UNKNOWN_PERSON_OBSERVATIONS
    )
    cases = [case for case in mated if case.shots == observations] or mated[-1:]
    draft = Calibration(
        id="draft",
        pack=pack,
        source=source,
        people=len(people),
        portraits=sum(map(len, people.values())),
        confidence=CONFIDENCE,
        rates=RATES,
        levels=LEVELS,
        impostors=tuple(non_mated),
        genuine=tuple(mated),
        newcomer=min(case.low[LEVELS.index(_UNKNOWN_PERSON_LEVEL)] for case in cases),
        lead=1.0,
        agree=agree,
    )
    lower_rate_score = draft.threshold_at(observations, _LEAD_RATE / _LEAD_FACTOR)
    lead = lower_rate_score - draft.threshold_at(observations, _LEAD_RATE)
    draft = draft.model_copy(update={"lead": round(lead, _DIGITS)})
    digest = hashlib.sha256(draft.model_dump_json().encode()).hexdigest()[:8]
    named = draft.model_copy(update={"id": f"measured-{digest}"})
    return Calibration.model_validate_json(named.model_dump_json())


def _impostors(
    pairs: PairScores, observations: int, photos: int, random: np.random.Generator
) -> NonMatedScores:
    people = len(pairs.names)
    rates = np.array(RATES)
    tail = _tail(pairs, np.ones((1, people)))
    estimate = tail.score(rates)[0]
    resampled = _tail(pairs, _bootstrap_counts(people, random)).score(rates)
    error = np.log1p(-resampled).std(axis=0, ddof=1)
    bound, doubtful = (
        np.maximum.accumulate(1 - (1 - estimate) * np.exp(-stdtrit(people - 1, level) * error))
        for level in (CONFIDENCE, _DOUBT_CONFIDENCE)
    )
    doubt = rates / np.maximum(tail.rate(doubtful)[0], np.finfo(float).tiny)
    promised = rates[np.logical_and.accumulate(doubt <= MAX_DOUBT)]
    if not len(promised):
        raise SightlineError(
            f"{people} people differ too much to say how alike different persons are;"
            " take more of them"
        )
    measured = pairs.scores_at(rates)
    number = people * (people - 1) // 2
    return NonMatedScores(
        shots=observations,
        photos=photos,
        people=people,
        pairs=number,
        comparisons=len(pairs.scores),
        shape=_rounded(tail.shape)[0],
        counted=_rounded(measured[rates >= 1 / number]),
        estimate=_rounded(estimate),
        bound=_rounded(np.maximum.accumulate(np.maximum(bound, measured))),
        supported=float(promised[-1]),
    )


def _bootstrap_counts(people: int, random: np.random.Generator) -> Doubles:
    """Return bootstrap counts (samples, people), at least three different people in each."""
    counts = random.multinomial(people, np.full(people, 1 / people), size=_BOOTSTRAP_SAMPLES)
    return np.asarray(counts[(counts > 0).sum(axis=1) >= 3], np.float64)


def _tail(pairs: PairScores, counts: Doubles) -> ScoreTail:
    """Fit the tail to each bootstrap sample; `counts` has the shape (samples, people)."""
    weights = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    mean = ((counts @ pairs.mean) * counts).sum(axis=1) / weights
    variance = ((counts @ pairs.square) * counts).sum(axis=1) / weights - mean**2
    if not (variance > 1e-12).all():
        raise SightlineError("all faces look the same to this pack: is its model damaged?")
    return tail_of(mean, variance)


def _genuine(
    scores: list[list[float]], observations: int, photos: int, random: np.random.Generator
) -> MatedScores:
    values = np.concatenate([np.array(person_scores, np.float32) for person_scores in scores])
    person_index = np.repeat(
        np.arange(len(scores)), [len(person_scores) for person_scores in scores]
    )
    weights = np.concatenate(
        [np.full(len(person_scores), 1 / len(person_scores)) for person_scores in scores]
    )
    levels = np.array(LEVELS)
    estimate = measure.quantiles(values, weights, levels)
    samples = _bootstrap_counts(len(scores), random)
    resampled = np.stack(
        [measure.quantiles(values, weights * counts[person_index], levels) for counts in samples]
    )
    return MatedScores(
        shots=observations,
        photos=photos,
        people=len(scores),
        tracks=len(values),
        scores=_rounded(estimate),
        low=_rounded(np.quantile(resampled, 1 - CONFIDENCE, axis=0)),
    )


def _rounded(values: Doubles) -> tuple[float, ...]:
    return tuple(min(max(round(float(value), _DIGITS), -1.0), 1.0) for value in values)
