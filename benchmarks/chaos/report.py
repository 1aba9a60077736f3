"""Findings of a chaos round as a table and a verdict."""

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
"""Limits from a worker's start to its next output, outside of outages."""

_MIN_RECOVERIES = 10
"""Number of recoveries that their 95th percentile needs."""

_KINDS = ("KILL", "TERM", "STOP", "place", "cut", "disk", "scale")
_RECOVERED = (
    "after KILL", "p50", "p95", "after TERM", "p50", "p95", "amid outages", "longest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of a round."""

    seed: int
    outcomes: Sequence[tuple[Fault, str]]
    starts: Sequence[Start]
    recoveries: Sequence[Recovery]
    ended: Sequence[tuple[str, int, str]]
    """Processes that ended without a fault, with status and last log line."""
    differences: Sequence[Difference]
    ledger: Mapping[str, str]
    """Cameras whose account does not balance, or differs from the calm run's, with the reason."""
    cameras: int

    @property
    def inflicted(self) -> int:
        """Number of faults that hit their target."""
        return sum(outcome in (DONE, NOT_DRAINED) for _, outcome in self.outcomes)

    def failures(self) -> list[str]:
        """Return the failures, a line each."""
        failed = [
            f"{part.part}: {part.lost} lost, {part.doubled} doubled, {part.differing} different"
            for part in self.differences
            if part.bad
        ]
        failed += [f"ledger of {camera}: {why}" for camera, why in self.ledger.items()]
        failed += [
            f"{fault.target} did not drain"
            for fault, outcome in self.outcomes
            if outcome == NOT_DRAINED
        ]
        for cause, limit in P95_SECONDS.items():
            seconds = self.seconds(cause)
            if len(seconds) >= _MIN_RECOVERIES and np.quantile(seconds, 0.95) > limit:
                failed.append(f"p95 after {cause} is over {limit:.0f} s")
        return failed

    def unjudged(self) -> list[str]:
        """Return the causes with too few recoveries, a line each."""
        return [
            f"{count} restarts after {cause} say nothing of their p95"
            for cause in P95_SECONDS
            if (count := len(self.seconds(cause))) < _MIN_RECOVERIES
        ]

    def seconds(self, cause: str, service: str | None = None) -> list[float]:
        """Return the seconds of recoveries outside of outages."""
        return [
            recovery.seconds
            for recovery in self.recoveries
            if (KILL if recovery.cause == AT_A_PLACE else recovery.cause) == cause
            and not recovery.outage
            and recovery.seconds is not None
            and service in (None, service_of(recovery.slot))
        ]


def print_findings(findings: Findings, console: Console) -> None:
    """Print a table of faults, recoveries and differences; then the details."""
    whole = Table(title=f"{findings.inflicted} faults, seed {findings.seed}", show_header=False)
    whole.add_row(_faults(findings))
    whole.add_row(_outcome(findings))
    console.print(whole)
    for difference in findings.differences:
        for example in difference.examples:
            console.print(f"{difference.part}: {example}", markup=False, soft_wrap=True)
    for fault, outcome in findings.outcomes:
        if outcome != DONE:
            console.print(f"{fault.target}, {fault.how}: {outcome}")
    for name, status, last_line in findings.ended:
        console.print(
            f"{name} ended by itself, {status}: {last_line}", markup=False, soft_wrap=True
        )
    for line in findings.failures():
        console.print(f"FAILED: {line}", markup=False, soft_wrap=True)
    for line in findings.unjudged():
        console.print(f"not judged: {line}", soft_wrap=True)


def _faults(findings: Findings) -> Table:
    """Build the table of faults by target; seconds from a worker's start to its next output."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("hit")
    for head in (*_KINDS, "starts", "own", *_RECOVERED):
        table.add_column(head, justify="right")
    hits = _hits(findings.outcomes)
    starts = Counter(service_of(one.slot) for one in findings.starts)
    unprovoked = Counter(service_of(one.slot) for one in findings.starts if one.cause == BY_ITSELF)
    for target in sorted(hits.keys() | starts.keys()):
        counts = [str(hits[target][kind] or "") for kind in _KINDS]
        start_counts = [str(starts[target] or ""), str(unprovoked[target] or "")]
        table.add_row(target, *counts, *start_counts, *_times(findings, target))
    sums = [str(sum(one[kind] for one in hits.values()) or "") for kind in _KINDS]
    table.add_section()
    table.add_row("all", *sums, str(starts.total()), str(unprovoked.total()), *_times(findings))
    return table


def _outcome(findings: Findings) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("compared with the calm run")
    for head in ("there", "lost", "doubled", "different"):
        table.add_column(head, justify="right")
    for difference in findings.differences:
        if difference.there or difference.bad:
            counts = (difference.there, difference.lost, difference.doubled, difference.differing)
            table.add_row(difference.part, *map(str, counts))
    wrong = len(findings.ledger)
    table.add_row("ledger of cameras", str(findings.cameras), "", "", str(wrong))
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


def _times(findings: Findings, service: str | None = None) -> list[str]:
    cells: list[str] = []
    for cause in (KILL, TERM):
        seconds = findings.seconds(cause, service)
        cells += [str(len(seconds) or "")]
        cells += [
            f"{np.quantile(seconds, fraction):.1f}" if seconds else "" for fraction in (0.5, 0.95)
        ]
    amid = [
        recovery
        for recovery in findings.recoveries
        if recovery.outage and service in (None, service_of(recovery.slot))
    ]
    longest = max((recovery.seconds or 0.0 for recovery in amid), default=0.0)
    return [*cells, str(len(amid) or ""), f"{longest:.1f}" if amid else ""]
