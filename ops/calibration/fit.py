"""A calibration from labelled portraits.

People are what is counted, not shots. A look-alike is a pair of people: however many shots of two
people are compared, they are one pair, and people who are in many pairs make those pairs alike.
So all pairs weigh the same, and the uncertainty is found by drawing people, not scores.

The bound of a score at a rate: the tail is fitted to people drawn again and again with
replacement (a person is never compared with themselves), which gives the standard error of
ln(1 - score); Student's t with one degree of freedom less than there were people says how many of
those to add. So the bound comes down as more people are measured. It is never below what was
seen: where more of the measured comparisons reach a score than a rate allows, the rate asks for
more than that score.

A rate is promised where doubt about it is not more than a factor of `MAX_DOUBT`: that is how
much smaller than the rate itself the estimated rate is at a bound with 90% confidence. Beyond,
the sample says too little about the tail.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import t as student

from ops.calibration.measure import (
    PairScores,
    People,
    agreement,
    own_scores,
    pair_scores,
    quantiles,
)
from ops.calibration.tail import Doubles, Tail, tail_of
from sightline.identity.calibration import NEWCOMER_SHOTS, Calibration, Genuine, Impostors
from sightline.runtime.errors import SightlineError

SHOTS = (1, 2, 3, 5)
PHOTOS = (1, 3)
CONFIDENCE = 0.75
"""Of a bound. With it the wanted rate is what comes out on the average of calibrations: those on
40 random tens of ORL people let MobileFaceNet name 8.5%, .9% and .1% of 6,000 tracks of strangers
where 10%, 1% and .1% were wanted, and dlib 7.7%, .6% and .07%."""
MAX_DOUBT = 1000.0
_DOUBT_CONFIDENCE = 0.9
MIN_PEOPLE = 5
"""Below, there are not ten pairs."""

RATES = tuple(float(f"{10 ** (-step / 4):.3g}") for step in range(1, 37))
"""For one comparison, down to 1e-9: a million people at 1e-3. Beyond, no tail is trusted."""
LEVELS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9)

_AGREE_LEVEL = 0.02
"""Of the pairs of one person's shots may be taken for pairs of two people's."""
_AGREE_RATE = 0.01
"""Of the pairs of shots of two people may be taken for pairs of one person's."""
_NEWCOMER_LEVEL = 0.001
"""Of a known person's tracks may be taken for a newcomer's, at most: the bound counts. So few
that it is the lowest score that was seen: cameras see worse than portraits."""
_LEAD_RATE, _LEAD_FACTOR = 1e-4, 5.0
"""The second best is one that strangers reach so many times as often."""

_DRAWS = 400
_SEED = 20_040_229
_DIGITS = 4

Progress = Callable[[float], None]
"""Is told how much is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration, and what its maker should look at."""

    calibration: Calibration
    most_alike: tuple[str, str, float]
    """Two people and the mean of their scores: perhaps they are one."""


def calibrate(
    pack: str,
    people: People,
    source: str,
    *,
    impostors: People | None = None,
    progress: Progress = lambda _: None,
) -> Fitted:
    """Measure a pack on people's portraits.

    With `impostors` those people are taken for strangers to each other, instead of the same
    ones. Raises SightlineError where they are too few.
    """
    own = {name: shots for name, shots in people.items() if len(shots) >= 2}
    _check_number(own, "people with two usable portraits or more")
    others = (
        own if impostors is None else {name: shots for name, shots in impostors.items() if shots}
    )
    _check_number(others, "people who are strangers to each other")
    random = np.random.default_rng(_SEED)
    agree = _agreement(own, others, random)
    cases = list(product(SHOTS, PHOTOS))
    strange: list[Impostors] = []
    genuine: list[Genuine] = []
    alike = ("", "", -1.0)
    for done, (shots, photos) in enumerate(cases):
        pairs = pair_scores(others, shots, photos, agree, random)
        if pairs is not None and len(pairs.names) >= MIN_PEOPLE:
            strange.append(_impostors(pairs, shots, photos, random))
            alike = max(alike, pairs.most_alike(), key=lambda pair: pair[2])
        scores = own_scores(own, shots, photos, agree, random)
        if len(scores) >= MIN_PEOPLE:
            genuine.append(_genuine(scores, shots, photos, random))
        progress((done + 1) / len(cases))
    calibration = _assembled(pack, others, source, agree, strange, genuine)
    return Fitted(calibration, alike)


def _agreement(own: People, others: People, random: np.random.Generator) -> float:
    """From which cosine two shots are of one person: few people's own differ more, and shots of
    two people seldom agree as much."""
    single = pair_scores(others, 1, 1, 0.0, random)
    strange = single.seen(np.array([_AGREE_RATE]))[0] if single else -1.0
    return round(max(agreement(own, _AGREE_LEVEL), float(strange)), _DIGITS)


def _check_number(people: People, what: str) -> None:
    if len(people) < MIN_PEOPLE:
        raise SightlineError(f"{len(people)} {what}; a calibration takes {MIN_PEOPLE} at least")


def _assembled(
    pack: str,
    others: People,
    source: str,
    agree: float,
    strange: list[Impostors],
    genuine: list[Genuine],
) -> Calibration:
    if not genuine or not any(one.shots == 1 for one in strange):
        raise SightlineError("too few of the portraits agree with each other to measure anything")
    shots = max(one.shots for one in strange if one.shots <= NEWCOMER_SHOTS)
    near = [one for one in genuine if one.shots == shots] or genuine[-1:]
    draft = Calibration(
        id="draft",
        pack=pack,
        source=source,
        people=len(others),
        portraits=sum(map(len, others.values())),
        confidence=CONFIDENCE,
        rates=RATES,
        levels=LEVELS,
        impostors=tuple(strange),
        genuine=tuple(genuine),
        newcomer=min(one.low[LEVELS.index(_NEWCOMER_LEVEL)] for one in near),
        lead=1.0,
        agree=agree,
    )
    lead = draft.reached(shots, _LEAD_RATE / _LEAD_FACTOR) - draft.reached(shots, _LEAD_RATE)
    draft = draft.model_copy(update={"lead": round(lead, _DIGITS)})
    digest = hashlib.sha256(draft.to_json().encode()).hexdigest()[:8]
    return Calibration.from_json(draft.model_copy(update={"id": f"measured-{digest}"}).to_json())


def _impostors(
    pairs: PairScores, shots: int, photos: int, random: np.random.Generator
) -> Impostors:
    people = len(pairs.names)
    rates = np.array(RATES)
    tail = _tail(pairs, np.ones((1, people)))
    estimate = tail.score(rates)[0]
    resampled = _tail(pairs, _drawn(people, random)).score(rates)
    error = np.log1p(-resampled).std(axis=0, ddof=1)
    bound, doubtful = (
        np.maximum.accumulate(1 - (1 - estimate) * np.exp(-student.ppf(level, people - 1) * error))
        for level in (CONFIDENCE, _DOUBT_CONFIDENCE)
    )
    doubt = rates / np.maximum(tail.rate(doubtful)[0], np.finfo(float).tiny)
    promised = rates[np.logical_and.accumulate(doubt <= MAX_DOUBT)]
    if not len(promised):
        raise SightlineError(
            f"{people} people differ too much to say how alike strangers are; take more of them"
        )
    seen = pairs.seen(rates)
    number = people * (people - 1) // 2
    return Impostors(
        shots=shots,
        photos=photos,
        people=people,
        pairs=number,
        comparisons=len(pairs.scores),
        shape=_rounded(tail.shape)[0],
        counted=_rounded(seen[rates >= 1 / number]),
        estimate=_rounded(estimate),
        bound=_rounded(np.maximum.accumulate(np.maximum(bound, seen))),
        supported=float(promised[-1]),
    )


def _drawn(people: int, random: np.random.Generator) -> Doubles:
    """(draws, people): how often each person was drawn. Three different ones at least."""
    counts = random.multinomial(people, np.full(people, 1 / people), size=_DRAWS)
    return np.asarray(counts[(counts > 0).sum(axis=1) >= 3], np.float64)


def _tail(pairs: PairScores, counts: Doubles) -> Tail:
    """The tails of the people as often as they were drawn: (draws, people)."""
    weights = counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1)
    mean = ((counts @ pairs.mean) * counts).sum(axis=1) / weights
    variance = ((counts @ pairs.square) * counts).sum(axis=1) / weights - mean**2
    if not (variance > 1e-12).all():
        raise SightlineError("all faces look the same to this pack: is its model damaged?")
    return tail_of(mean, variance)


def _genuine(
    scores: list[list[float]], shots: int, photos: int, random: np.random.Generator
) -> Genuine:
    values = np.concatenate([np.array(own, np.float32) for own in scores])
    whose = np.repeat(np.arange(len(scores)), [len(own) for own in scores])
    share = np.concatenate([np.full(len(own), 1 / len(own)) for own in scores])
    levels = np.array(LEVELS)
    found = quantiles(values, share, levels)
    drawn = _drawn(len(scores), random)
    redrawn = np.stack([quantiles(values, share * counts[whose], levels) for counts in drawn])
    return Genuine(
        shots=shots,
        photos=photos,
        people=len(scores),
        tracks=len(values),
        scores=_rounded(found),
        low=_rounded(np.quantile(redrawn, 1 - CONFIDENCE, axis=0)),
    )


def _rounded(values: Doubles) -> tuple[float, ...]:
    return tuple(min(max(round(float(one), _DIGITS), -1.0), 1.0) for one in values)
