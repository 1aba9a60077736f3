"""`make chaos`: a known load, calm and then under faults, and the two outcomes compared.

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
from benchmarks.rig import own_folder
from ops.local_stack.ports import free_port
from producers import ledger
from producers.ledger import Account
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import configure_logging

_CHANGE_SECONDS = 8.0
"""From a film to the next one."""

_PATIENCE = 3.0
"""Times the length of the load, which faults hold up."""

_CALM = 600.0

console = Console(stderr=True, width=150)


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of the load and what it has left."""

    outcome: outcome.Outcome
    ledger: dict[str, Account]
    faults: Sequence[tuple[Fault, str]] = ()
    starts: Sequence[Start] = ()
    recoveries: Sequence[Recovery] = ()
    ended: Sequence[tuple[str, int, str]] = ()


def calm(load: Load, people: Path) -> Pass:
    """As fast as it goes, and nothing happens."""
    with rig(load, brokers=1, disks=False, people=people) as made:
        return _run(made, load, [], "fast", _CALM)


def hit(load: Load, people: Path, faults: Sequence[Fault], brokers: int, *, disks: bool) -> Pass:
    """At its own pace, under faults."""
    length = load.rounds * (FILM_SECONDS + _CHANGE_SECONDS)
    seconds = _PATIENCE * max(length, faults[-1].at) + 120.0
    with rig(load, brokers=brokers, disks=disks, people=people) as made:
        return _run(made, load, faults, "real", seconds)


def _run(made: Rig, load: Load, faults: Sequence[Fault], pace: str, seconds: float) -> Pass:
    home = made.settings.home
    port = free_port(made.ports.taken | {way.port for way in made.ways.values()})
    environment = made.environment | {"SIGHTLINE_API__PORT": str(port)}
    services = Services(environment, home / "logs")
    add_cameras(made.behind, load, pace)
    with Watch(made.behind, port) as watch, Infrastructure(made) as infrastructure:
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
            over = time.monotonic()
        return Pass(
            outcome.read_outcome(made.behind),
            ledger.read(home),
            trouble.outcomes,
            services.starts,
            _recoveries(services, watch, infrastructure, over),
            services.statuses,
        )


def _recoveries(
    services: Services, watch: Watch, infrastructure: Infrastructure, over: float
) -> list[Recovery]:
    found = []
    for start in services.starts:
        later = [
            one.died_at
            for one in services.starts
            if one.slot == start.slot and one.died_at > start.started_at
        ]
        outputs, inputs = outputs_of(start.slot, watch, start.died_at)
        until = min(later, default=over)
        one = recover(start, outputs, inputs, watch.series, infrastructure.outages, until)
        if one is not None:
            found.append(one)
    return found


def balance(before: dict[str, Account], after: dict[str, Account]) -> dict[str, str]:
    """The cameras whose account does not balance, or is another one."""
    wrong = {}
    for camera in sorted(before.keys() | after.keys()):
        was, now = before.get(camera), after.get(camera)
        if now is None or not now.balances:
            wrong[camera] = f"does not balance: {now}"
        elif was is None or (was.captured, was.delivered) != (now.captured, now.delivered):
            wrong[camera] = f"{now} instead of {was}"
    return wrong


def run(arguments: argparse.Namespace) -> Findings:
    """Both passes, and what they say."""
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
        quiet = calm(load, people)
        console.print(f"the calm run took {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        shaken = hit(load, people, dealt, arguments.brokers, disks=disks)
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
    given = parser.parse_args()
    if given.short:
        given.minutes, given.brokers, given.sites, given.film_seconds = 0.28, 1, 1, 20.0
    return given


def main() -> None:
    """Run it as a program: a table, a line of JSON, and status 1 where something is wrong."""
    found = run(_arguments())
    print_findings(found, console)
    failures = found.failures()
    rows = sum(one.there for one in found.differences if one.part == "access_logs")
    told = {"seed": found.seed, "faults": found.inflicted, "rows": rows, "failures": failures}
    print(json.dumps(told))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("chaos: stopped"))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"chaos: {error}")
