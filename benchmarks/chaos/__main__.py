"""`make chaos`: outcomes of one load, undisturbed and under faults, compared.

python -m benchmarks.chaos [--faults 100] [--seed S] [--minutes 11] [--brokers 3]
"""

import argparse
import json
import logging
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.chaos import outcome
from benchmarks.chaos.compare import compare
from benchmarks.chaos.inflict import Trouble
from benchmarks.chaos.infrastructure import Infrastructure
from benchmarks.chaos.load import FILM_SECONDS, SITES, Load, record
from benchmarks.chaos.plan import SHORT, WORKERS, Fault, deal
from benchmarks.chaos.player import Player
from benchmarks.chaos.quiet import wait_until_quiet, wait_until_ready
from benchmarks.chaos.recovery import Recovery, recover
from benchmarks.chaos.report import Findings, print_findings
from benchmarks.chaos.rig import Rig, add_cameras, can_mount, rig
from benchmarks.chaos.services import Services, Start
from benchmarks.chaos.watch import Watch, outputs_of
from benchmarks.rig import own_folder, run_as_program
from ops.local_stack.ports import free_port
from producers import frame_accounting
from producers.frame_accounting import FrameAccount

_CHANGE_SECONDS = 8.0
"""Time from a film to the next one."""

_PATIENCE_FACTOR = 3.0
"""Factor of the load's length, which faults prolong."""

_CALM_TIMEOUT_SECONDS = 600.0

console = Console(stderr=True, width=150)


@dataclass(frozen=True, slots=True)
class Pass:
    """Outcome of one pass of the load."""

    outcome: outcome.Outcome
    ledger: dict[str, FrameAccount]
    faults: Sequence[tuple[Fault, str]] = ()
    starts: Sequence[Start] = ()
    recoveries: Sequence[Recovery] = ()
    ended: Sequence[tuple[str, int, str]] = ()


def calm(load: Load, people: Path, *, short: bool = False) -> Pass:
    """Run the load without faults, as fast as possible; `short` as of `hit`."""
    with rig(load, brokers=1, disks=False, people=people, has_proxies=not short) as made:
        return _run(made, load, [], "fast", _CALM_TIMEOUT_SECONDS, short=short)


def hit(
    load: Load,
    people: Path,
    faults: Sequence[Fault],
    brokers: int,
    *,
    disks: bool,
    short: bool = False,
) -> Pass:
    """Run the load at its own pace under faults.

    A short round has no proxies, as it cuts no connection, and measures no recoveries, of which
    it has too few to judge.
    """
    length = load.rounds * (FILM_SECONDS + _CHANGE_SECONDS)
    seconds = _PATIENCE_FACTOR * max(length, faults[-1].at) + 120.0
    with rig(load, brokers=brokers, disks=disks, people=people, has_proxies=not short) as made:
        return _run(made, load, faults, "real", seconds, short=short)


def _run(
    made: Rig, load: Load, faults: Sequence[Fault], pace: str, seconds: float, *, short: bool
) -> Pass:
    home = made.settings.home
    port = free_port(
        made.ports.used_ports | {proxy.port for proxy in made.proxies_by_target.values()}
    )
    environment = made.environment | {"SIGHTLINE_API__PORT": str(port)}
    services = Services(environment, home / "logs")
    add_cameras(made.behind, load, pace)
    watching = nullcontext() if short else Watch(made.behind, port)
    with watching as watch, Infrastructure(made) as infrastructure:
        with services.running(WORKERS | {"outbox": 1}):
            wait_until_ready(made.behind, services)
            trouble = Trouble(made, services, infrastructure)
            causing = threading.Thread(target=trouble.run, args=(faults,), name="trouble")
            causing.start()
            try:
                Player(made.behind, load).play(seconds)
            finally:
                causing.join()
            wait_until_quiet(made.behind, seconds)
            finished_at = time.monotonic()
        return Pass(
            outcome.read_outcome(made.behind),
            frame_accounting.read_accounts(home),
            trouble.outcomes,
            services.starts,
            [] if watch is None else _recoveries(services, watch, infrastructure, finished_at),
            services.statuses,
        )


def _recoveries(
    services: Services, watch: Watch, infrastructure: Infrastructure, finished_at: float
) -> list[Recovery]:
    recoveries = []
    for start in services.starts:
        later = [
            other.died_at
            for other in services.starts
            if other.slot == start.slot and other.died_at > start.started_at
        ]
        outputs, inputs = outputs_of(start.slot, watch, start.died_at)
        until = min(later, default=finished_at)
        outages = infrastructure.outages
        recoveries.append(recover(start, outputs, inputs, watch.series, outages, until))
    return [recovery for recovery in recoveries if recovery is not None]


def balance(before: dict[str, FrameAccount], after: dict[str, FrameAccount]) -> dict[str, str]:
    """Return the cameras whose account does not balance, or differs from the undisturbed one."""
    wrong = {}
    for camera in sorted(before.keys() | after.keys()):
        expected, actual = before.get(camera), after.get(camera)
        if actual is None or not actual.balances:
            wrong[camera] = f"does not balance: {actual}"
        elif expected is None or _totals(expected) != _totals(actual):
            wrong[camera] = f"{actual} instead of {expected}"
    return wrong


def _totals(account: FrameAccount) -> tuple[int, int]:
    return account.captured, account.delivered


def run(arguments: argparse.Namespace) -> Findings:
    """Run both passes and compare them."""
    disks = not arguments.short and can_mount()
    if not disks and not arguments.short:
        console.print("full disks are left out: small file systems cannot be mounted here")
    pause = 60 * arguments.minutes / arguments.faults
    dealt = deal(
        arguments.seed, arguments.faults, pause, brokers=arguments.brokers, disks=disks,
        only=SHORT if arguments.short else None,
    )  # fmt: skip
    rounds = int(dealt[-1].at / (arguments.film_seconds + _CHANGE_SECONDS)) + 1
    console.print(
        f"seed {arguments.seed}: {len(dealt)} faults in {dealt[-1].at / 60:.1f} minutes, "
        f"{arguments.sites} sites with {rounds} films each, {arguments.brokers} brokers"
    )
    with own_folder() as folder:
        load = record(folder, rounds, sites=arguments.sites, seconds=arguments.film_seconds)
        people = folder / "people.zip"
        began = time.monotonic()
        quiet = calm(load, people, short=arguments.short)
        console.print(f"the calm run took {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        shaken = hit(load, people, dealt, arguments.brokers, disks=disks, short=arguments.short)
        console.print(f"the run under faults took {time.monotonic() - began:.0f} s")
    return Findings(
        seed=arguments.seed,
        outcomes=shaken.faults,
        starts=shaken.starts,
        recoveries=shaken.recoveries,
        ended=shaken.ended,
        differences=compare(quiet.outcome, shaken.outcome),
        ledger=balance(quiet.ledger, shaken.ledger),
        cameras=len(shaken.ledger),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.chaos")
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=11.0, help="in which they come")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    parser.add_argument("--sites", type=int, default=SITES)
    parser.add_argument("--film-seconds", type=float, default=FILM_SECONDS, help="of each film")
    parser.add_argument("--short", action="store_true", help="a round of half a minute")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.minutes, arguments.brokers = 0.28, 1
        arguments.sites, arguments.film_seconds = 1, 20.0
    return arguments


def main() -> None:
    """Run as a program: print a table and a line of JSON, exit with 1 on failures."""
    findings = run(_arguments())
    print_findings(findings, console)
    failures = findings.failures()
    rows = sum(part.there for part in findings.differences if part.part == "access_logs")
    summary = {"seed": findings.seed, "faults": findings.inflicted, "rows": rows}
    print(json.dumps(summary | {"failures": failures}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("chaos: stopped"))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    run_as_program("chaos", main)
