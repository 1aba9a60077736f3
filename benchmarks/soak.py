"""`make soak`: the highest steady load that the machine holds, for a while, and who grows.

The rate of frames is raised until vision falls behind; 60% of the last rate that it kept up with
is the load. Then every process is looked at every few seconds: resident memory, open files,
threads. What counts is the last half, when caches are full.

python -m benchmarks.soak [--minutes 20] [--rate FRAMES_PER_SECOND]
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.load import SITES, Load, record
from benchmarks.chaos.plan import WORKERS
from benchmarks.chaos.quiet import wait_until_ready
from benchmarks.chaos.rig import Rig, rig
from benchmarks.chaos.services import Services
from benchmarks.chaos.watch import Watch
from benchmarks.rig import add_cameras, own_folder
from ops.local_stack.broker import Broker
from ops.local_stack.database import Database
from ops.local_stack.ports import free_port
from schemas import topics
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import configure_logging
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.storage.db import connect

LIMIT_PERCENT = 2.0
"""A process may grow by so much in the last half."""

_CAMERAS_OF_A_SITE = 3
_STEP_SECONDS = 20.0
_FIRST_RATE, _STEP_RATE, _MOST_RATE = 24.0, 8.0, 10.0 * SITES * _CAMERAS_OF_A_SITE
"""Frames a second of all cameras together; the films have 10 each."""

_BEHIND_SECONDS = 2.0
_SHARE = 0.6
"""A machine is not as fast all the time as it was for some seconds: while vision is behind, its
memory has more frames that wait, which is no growth."""

_LOOK_SECONDS = 5.0
_WARM_SECONDS = 10.0
_FILL_ROWS, _FILL_BYTES = 25_000, 7_000
"""A page each, 200 MB: more than PostgreSQL's shared buffers."""

_EDGE = 0.2
"""Of the last half: its beginning and its end, whose medians are compared."""

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one process, or at a family of them."""

    resident: float  # bytes; of a family, what each has for itself and what they share
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What became of a process in the last half."""

    name: str
    resident: float  # MiB, at the end
    percent: float
    files: tuple[int, int]
    threads: tuple[int, int]

    @property
    def is_flat(self) -> bool:
        """Whether it does not grow."""
        return self.percent < LIMIT_PERCENT and _flat(self.files) and _flat(self.threads)


def _flat(pair: tuple[int, int]) -> bool:
    """Whether there are no more than before, but for what comes and goes."""
    return pair[1] <= pair[0] + max(2, pair[0] * LIMIT_PERCENT / 100)


def growth(name: str, looks: Sequence[Look]) -> Growth:
    """Compare the beginning and the end of the last half. Needs ten looks at least."""
    half = looks[len(looks) // 2 :]
    edge = max(1, int(len(half) * _EDGE))
    first, last = half[:edge], half[-edge:]

    def medians(what: str) -> tuple[float, float]:
        early, late = ([getattr(look, what) for look in some] for some in (first, last))
        return statistics.median(early), statistics.median(late)

    was, now = medians("resident")
    files, threads = medians("files"), medians("threads")
    return Growth(
        name=name,
        resident=now / 2**20,
        percent=100 * (now / was - 1),
        files=(round(files[0]), round(files[1])),
        threads=(round(threads[0]), round(threads[1])),
    )


def _cameras(load: Load, rate: float) -> list[NewCamera]:
    """The films for ever, so that all together give so many frames a second."""
    cameras = load.cameras("real")
    return [
        camera.model_copy(
            update={
                "settings": CameraSettings(
                    fps=rate / len(cameras), width=camera.settings.width, motion=False, loop=True
                ),
            }
        )
        for camera in cameras
    ]


def _backlog(watch: Watch) -> int:
    """Frames that vision has not committed."""
    frames = topics.frames()
    return sum(
        max(0, watch.last(f"{frames.name}/{number}") - max(0, watch.last(f"vision/{number}")))
        for number in range(frames.partitions)
    )


def find_rate(made: Rig, load: Load, watch: Watch) -> float:
    """The highest rate that vision keeps up with. Raises SightlineError where there is none."""
    held, rate = 0.0, _FIRST_RATE
    while rate <= _MOST_RATE:
        add_cameras(made.behind, _cameras(load, rate))
        time.sleep(_STEP_SECONDS)
        behind = _backlog(watch)
        console.print(f"{rate:.0f} frames/s: {behind} frames behind")
        if behind > _BEHIND_SECONDS * rate:
            break
        held, rate = rate, rate + _STEP_RATE
    if not held:
        raise SightlineError(f"the machine does not hold {_FIRST_RATE:.0f} frames/s")
    return held


def _fill_shared(made: Rig) -> int:
    """Have PostgreSQL use all of its shared memory, whose size is a setting; that size in bytes.

    Else it would seem to grow with every page that it reads for the first time.
    """
    with connect(made.behind, autocommit=True) as db:
        db.execute("CREATE UNLOGGED TABLE filler (page text STORAGE PLAIN)")
        # Row by row: in bulk it would go round in a few buffers of its own.
        db.execute(
            "INSERT INTO filler SELECT repeat('x', %s) FROM generate_series(1, %s)",
            (_FILL_BYTES, _FILL_ROWS),
        )
        db.execute("DROP TABLE filler")
        row = db.execute("SELECT setting FROM pg_settings WHERE name = 'shared_memory_size'")
        return int(row.fetchall()[0][0]) * 2**20


def _family(process: psutil.Process, shared: int) -> Look:
    resident, files, members = shared, 0, 0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's helpers come and go
            resident, files = resident + one.memory_full_info().uss, files + one.num_fds()
            members += 1
    return Look(resident, files, members)


def _alone(process: psutil.Process) -> Look:
    with process.oneshot():
        return Look(process.memory_info().rss, process.num_fds(), process.num_threads())


def _look(made: Rig, services: Services, shared: int) -> Iterator[tuple[str, Look]]:
    for name, pid in services.pids().items():
        yield name, _alone(psutil.Process(pid))
    for process in Broker(made.settings.home).running():
        yield "broker", _alone(process)
    for process in Database(made.settings.home).running():
        yield "database", _family(process, shared)


def soak(
    made: Rig, load: Load, services: Services, seconds: float, rate: float | None
) -> tuple[float, list[Growth], list[int]]:
    """Run the load; its rate, what became of every process, and how far vision was behind."""
    with Watch(made.behind, int(services.environment["SIGHTLINE_API__PORT"])) as watch:
        wait_until_ready(made.behind, services)
        rate = rate or _SHARE * find_rate(made, load, watch)
        add_cameras(made.behind, _cameras(load, rate))
        shared = _fill_shared(made)
        console.print(f"{rate:.1f} frames/s for {seconds / 60:.0f} minutes")
        time.sleep(_WARM_SECONDS)
        looks: dict[str, list[Look]] = defaultdict(list)
        behind = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, look in _look(made, services, shared):
                looks[name].append(look)
            behind.append(_backlog(watch))
            time.sleep(_LOOK_SECONDS)
    return rate, [growth(name, some) for name, some in sorted(looks.items())], behind


def _print(rate: float, grown: Sequence[Growth], behind: Sequence[int], minutes: float) -> None:
    table = Table(title=f"{minutes:.0f} minutes at {rate:.1f} frames/s, the last half of them")
    for head in ("process", "MiB", "rise", "files", "threads"):
        table.add_column(head, justify="left" if head == "process" else "right")
    for one in grown:
        table.add_row(
            one.name,
            f"{one.resident:.0f}",
            f"{one.percent:+.1f}%",
            _from_to(one.files),
            _from_to(one.threads),
        )
    console.print(table)
    console.print(f"frames behind: {statistics.median(behind):.0f}, at most {max(behind)}")


def _from_to(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} to {pair[1]}"


def main() -> None:
    """Measure, print, and end with 1 where somebody grows."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, help="frames a second; else it is found")
    given = parser.parse_args()
    with own_folder() as folder:
        load = record(folder, _CAMERAS_OF_A_SITE)
        with rig(load, brokers=1, disks=False, people=folder / "people.zip") as made:
            port = str(free_port(made.ports.taken))
            environment: Mapping[str, str] = made.environment | {"SIGHTLINE_API__PORT": port}
            services = Services(environment, made.settings.home / "logs")
            with services.running(WORKERS | {"outbox": 1}):
                rate, grown, behind = soak(made, load, services, 60 * given.minutes, given.rate)
            ended = services.statuses
    _print(rate, grown, behind, given.minutes)
    failures = [one.name for one in grown if not one.is_flat]
    failures += [f"{name} ended with {status}: {said}" for name, status, said in ended]
    print(json.dumps({"rate": rate, "minutes": given.minutes, "failures": failures}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"soak: {error}")
