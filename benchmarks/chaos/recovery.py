"""From the start of a worker that was hit to its next output, out of what was watched. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos.services import Start
from benchmarks.chaos.watch import Look, Series

_SIGHT_SECONDS = 0.5
"""No service puts anything out so soon after its start: what stands then, its predecessor has
left there. There has to be a look in that time, and what has come in until then is its work."""

_LONGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """One worker's."""

    slot: str
    cause: str
    seconds: float | None  # None: none was seen
    outage: bool
    """A broker, the database or a disk was away at some moment of it."""


def recover(
    start: Start,
    outputs: Sequence[str],
    inputs: Sequence[str],
    series: Mapping[str, Series],
    outages: Sequence[tuple[str, float, float]],
    until: float,
) -> Recovery | None:
    """How long a worker took; None where it had no work, or died again before any output.

    `until`: when its place was next empty, or the end of it all. `inputs`: where its work comes
    from; without any there always is some.
    """
    if inputs and not _has_grown(inputs, series, start):
        return None
    ended = None
    for name in outputs:
        first = _first_output(series.get(name, []), start.started_at)
        if first is not None and (ended is None or first < ended):
            ended = first
    if ended is None or ended > until:
        if until - start.started_at < _LONGEST_SECONDS:
            return None
        ended = None
    seconds = None if ended is None else ended - start.started_at
    last = until if ended is None else ended
    away = any(begin < last and end > start.started_at for _, begin, end in outages)
    return Recovery(start.slot, start.cause, seconds, away)


def _first_output(looks: Sequence[Look], started_at: float) -> float | None:
    stood: int | None = None
    for look in looks:
        if look.began < started_at:
            continue
        if stood is None:
            if look.ended > started_at + _SIGHT_SECONDS:
                return None  # nobody looked in time
            stood = look.value
        elif look.value > stood:
            return look.ended
    return None


def _has_grown(inputs: Sequence[str], series: Mapping[str, Series], start: Start) -> bool:
    for name in inputs:
        looks = series.get(name, [])
        before = [look.value for look in looks if look.ended <= start.died_at]
        after = [look.value for look in looks if look.ended <= start.started_at + _SIGHT_SECONDS]
        if before and after and after[-1] > before[-1]:
            return True
    return False
