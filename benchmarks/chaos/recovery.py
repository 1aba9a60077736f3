"""Recovery times from a worker's restart to its next output, computed from samples. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos.services import Start
from benchmarks.chaos.watch import Look, Series

_FIRST_SAMPLE_SECONDS = 0.5
"""No service has output so soon after its start: the value then is its predecessor's. A sample
must fall into this time, and the input until then is the worker's work."""

_LONGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery of a worker."""

    slot: str
    cause: str
    seconds: float | None  # None without an output
    outage: bool
    """True if a broker, the database or a disk was away meanwhile."""


def recover(
    start: Start,
    outputs: Sequence[str],
    inputs: Sequence[str],
    series: Mapping[str, Series],
    outages: Sequence[tuple[str, float, float]],
    until: float,
) -> Recovery | None:
    """Measure a worker's recovery; None if it had no work, or died again before any output.

    `until` is the time of the slot's next end, or of the end of the run. `inputs` are the series of
    its work; without any there always is work.
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


def _first_output(samples: Sequence[Look], started_at: float) -> float | None:
    initial: int | None = None
    for sample in samples:
        if sample.began < started_at:
            continue
        if initial is None:
            if sample.ended > started_at + _FIRST_SAMPLE_SECONDS:
                return None  # no sample in time
            initial = sample.value
        elif sample.value > initial:
            return sample.ended
    return None


def _has_grown(inputs: Sequence[str], series: Mapping[str, Series], start: Start) -> bool:
    for name in inputs:
        samples = series.get(name, [])
        before = [sample.value for sample in samples if sample.ended <= start.died_at]
        after = [
            sample.value
            for sample in samples
            if sample.ended <= start.started_at + _FIRST_SAMPLE_SECONDS
        ]
        if before and after and after[-1] > before[-1]:
            return True
    return False
