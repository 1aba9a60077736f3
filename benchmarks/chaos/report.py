"""What chaos has found, as one table and a verdict."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.compare import Difference
from benchmarks.chaos.inflict import DONE, NOT_DRAINED
from benchmarks.chaos.plan import FULL, KILL, SCALE, SIGNALS, STOP, TERM, Fault
from benchmarks.chaos.recovery import Recovery
from benchmarks.chaos.services import AT_A_PLACE, BY_ITSELF, Start, service_of

P95_SECONDS = {KILL: 10.0, TERM: 3.0}
"""From the start of a worker to its next output, while all that it needs is there."""

_ENOUGH = 10
"""Of recoveries, to judge by their 95th percentile."""

_KINDS = ("KILL", "TERM", "STOP", "place", "cut", "disk", "scale")
_RECOVERED = (
    "after KILL", "p50", "p95", "after TERM", "p50", "p95", "amid outages", "longest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found."""

    seed: int
    outcomes: Sequence[tuple[Fault, str]]
    starts: Sequence[Start]
    recoveries: Sequence[Recovery]
    ended: Sequence[tuple[str, int, str]]
    """Processes that ended though nobody had hit them: with a status, and their last words."""
    differences: Sequence[Difference]
    ledger: Mapping[str, str]
    """Cameras whose account does not balance, or is not the calm run's, and how."""
    cameras: int

    @property
    def inflicted(self) -> int:
        """Faults that hit somebody."""
        return sum(outcome in (DONE, NOT_DRAINED) for _, outcome in self.outcomes)

    def failures(self) -> list[str]:
        """All that must not be, a line each."""
        failed = [
            f"{one.part}: {one.lost} lost, {one.doubled} doubled, {one.differing} different"
            for one in self.differences
            if one.bad
        ]
        failed += [f"ledger of {camera}: {why}" for camera, why in self.ledger.items()]
        failed += [
            f"{fault.target} did not drain"
            for fault, outcome in self.outcomes
            if outcome == NOT_DRAINED
        ]
        for cause, limit in P95_SECONDS.items():
            seconds = self.seconds(cause)
            if len(seconds) >= _ENOUGH and np.quantile(seconds, 0.95) > limit:
                failed.append(f"p95 after {cause} is over {limit:.0f} s")
        return failed

    def unjudged(self) -> list[str]:
        """What there was too little of, a line each."""
        return [
            f"{found} restarts after {cause} say nothing of their p95"
            for cause in P95_SECONDS
            if (found := len(self.seconds(cause))) < _ENOUGH
        ]

    def seconds(self, cause: str, service: str | None = None) -> list[float]:
        """Recoveries outside of outages."""
        return [
            one.seconds
            for one in self.recoveries
            if (KILL if one.cause == AT_A_PLACE else one.cause) == cause
            and not one.outage
            and one.seconds is not None
            and service in (None, service_of(one.slot))
        ]


def print_findings(found: Findings, console: Console) -> None:
    """One table: what was hit, how it came back, and what the outcome has lost; then the rest."""
    whole = Table(title=f"{found.inflicted} faults, seed {found.seed}", show_header=False)
    whole.add_row(_faults(found))
    whole.add_row(_outcome(found))
    console.print(whole)
    for one in found.differences:
        for example in one.examples:
            console.print(f"{one.part}: {example}", markup=False, soft_wrap=True)
    for fault, outcome in found.outcomes:
        if outcome != DONE:
            console.print(f"{fault.target}, {fault.how}: {outcome}")
    for name, status, said in found.ended:
        console.print(f"{name} ended by itself, {status}: {said}", markup=False, soft_wrap=True)
    for line in found.failures():
        console.print(f"FAILED: {line}", markup=False, soft_wrap=True)
    for line in found.unjudged():
        console.print(f"not judged: {line}", soft_wrap=True)


def _faults(found: Findings) -> Table:
    """By target; seconds from a worker's start to its next output."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("hit")
    for head in (*_KINDS, "starts", "own", *_RECOVERED):
        table.add_column(head, justify="right")
    hits = _hits(found.outcomes)
    starts = Counter(service_of(one.slot) for one in found.starts)
    own = Counter(service_of(one.slot) for one in found.starts if one.cause == BY_ITSELF)
    for target in sorted(hits.keys() | starts.keys()):
        counts = [str(hits[target][kind] or "") for kind in _KINDS]
        told = [str(starts[target] or ""), str(own[target] or "")]
        table.add_row(target, *counts, *told, *_times(found, target))
    sums = [str(sum(one[kind] for one in hits.values()) or "") for kind in _KINDS]
    table.add_section()
    table.add_row("all", *sums, str(starts.total()), str(own.total()), *_times(found))
    return table


def _outcome(found: Findings) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("compared with the calm run")
    for head in ("there", "lost", "doubled", "different"):
        table.add_column(head, justify="right")
    for one in found.differences:
        if one.there or one.bad:
            counts = (one.there, one.lost, one.doubled, one.differing)
            table.add_row(one.part, *map(str, counts))
    wrong = len(found.ledger)
    table.add_row("ledger of cameras", str(found.cameras), "", "", str(wrong))
    return table


def _hits(outcomes: Sequence[tuple[Fault, str]]) -> dict[str, Counter[str]]:
    hits: dict[str, Counter[str]] = defaultdict(Counter)
    for fault, outcome in outcomes:
        if outcome in (DONE, NOT_DRAINED):
            hits[service_of(fault.target)][_kind(fault)] += 1
    return hits


def _kind(fault: Fault) -> str:
    if fault.how in SIGNALS:
        return {KILL: "KILL", TERM: "TERM", STOP: "STOP"}[fault.how]
    if fault.how == SCALE:
        return "scale"
    if fault.how == FULL:
        return "disk"
    return "cut" if fault.how.startswith("connections") else "place"


def _times(found: Findings, service: str | None = None) -> list[str]:
    told: list[str] = []
    for cause in (KILL, TERM):
        seconds = found.seconds(cause, service)
        told += [str(len(seconds) or "")]
        told += [f"{np.quantile(seconds, share):.1f}" if seconds else "" for share in (0.5, 0.95)]
    amid = [
        one for one in found.recoveries if one.outage and service in (None, service_of(one.slot))
    ]
    longest = max((one.seconds or 0.0 for one in amid), default=0.0)
    return [*told, str(len(amid) or ""), f"{longest:.1f}" if amid else ""]
