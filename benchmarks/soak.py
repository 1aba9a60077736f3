"""`make soak`: growth of processes under the highest steady load that the machine holds.

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
from benchmarks.rig import add_cameras, own_folder, run_as_program
from ops.local_stack.broker import Broker
from ops.local_stack.database import Database
from ops.local_stack.ports import free_port
from schemas import topics
from sightline.runtime.errors import SightlineError
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.storage.db import connect

LIMIT_PERCENT = 2.0
"""Largest growth of a process in the last half."""

_CAMERAS_OF_A_SITE = 3
_STEP_SECONDS = 20.0
_FIRST_RATE, _STEP_RATE, _MOST_RATE = 24.0, 8.0, 10.0 * SITES * _CAMERAS_OF_A_SITE
"""Frames a second of all cameras together; the films have 10 each."""

_BEHIND_SECONDS = 2.0
_LOAD_FACTOR = 0.6
"""A machine is not as fast all the time as it was for some seconds: while vision is behind, its
memory has more frames that wait, which is no growth."""

_SAMPLE_SECONDS = 5.0
_WARM_SECONDS = 10.0
_FILL_ROWS, _FILL_BYTES = 25_000, 7_000
"""A page each, 200 MB: more than PostgreSQL's shared buffers."""

_EDGE = 0.2
"""Of the last half: its beginning and its end, whose medians are compared."""

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Sample:
    """Resources of a process, or of a family of processes, at one moment."""

    resident: float  # bytes; of a family, what each has for itself and what they share
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of a process in the last half."""

    name: str
    resident: float  # MiB, at the end
    percent: float
    files: tuple[int, int]
    threads: tuple[int, int]

    @property
    def is_flat(self) -> bool:
        """True if the process does not grow."""
        return self.percent < LIMIT_PERCENT and _flat(self.files) and _flat(self.threads)


def _flat(pair: tuple[int, int]) -> bool:
    """Return True if the second count is not above the first, except for short-lived ones."""
    return pair[1] <= pair[0] + max(2, pair[0] * LIMIT_PERCENT / 100)


def growth(name: str, samples: Sequence[Sample]) -> Growth:
    """Compare the beginning and the end of the last half. Needs ten samples at least."""
    half = samples[len(samples) // 2 :]
    edge = max(1, int(len(half) * _EDGE))
    first, last = half[:edge], half[-edge:]

    def medians(field: str) -> tuple[float, float]:
        early, late = ([getattr(sample, field) for sample in part] for part in (first, last))
        return statistics.median(early), statistics.median(late)

    before, after = medians("resident")
    files, threads = medians("files"), medians("threads")
    return Growth(
        name=name,
        resident=after / 2**20,
        percent=100 * (after / before - 1),
        files=(round(files[0]), round(files[1])),
        threads=(round(threads[0]), round(threads[1])),
    )


def _cameras(load: Load, rate: float) -> list[NewCamera]:
    """Return cameras that play the films in a loop, with `rate` frames a second in all."""
    cameras = load.cameras("real")
    how = {"fps": rate / len(cameras), "motion": False, "loop": True}
    return [
        camera.model_copy(update={"settings": CameraSettings(width=camera.settings.width, **how)})
        for camera in cameras
    ]


def _backlog(watch: Watch) -> int:
    """Return the number of frames that vision has not committed."""
    frames = topics.frames()
    return sum(
        max(0, watch.last(f"{frames.name}/{number}") - max(0, watch.last(f"vision/{number}")))
        for number in range(frames.partitions)
    )


def find_rate(made: Rig, load: Load, watch: Watch) -> float:
    """Return the highest rate that vision keeps up with. Raises SightlineError if there is none."""
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
    """Make PostgreSQL touch all of its shared memory; return its size in bytes.

    Otherwise it would seem to grow with every page that it reads for the first time.
    """
    with connect(made.behind, autocommit=True) as db:
        db.execute("CREATE UNLOGGED TABLE filler (page text STORAGE PLAIN)")
        # Row by row: a bulk load would cycle through a few buffers of its own.
        db.execute(
            "INSERT INTO filler SELECT repeat('x', %s) FROM generate_series(1, %s)",
            (_FILL_BYTES, _FILL_ROWS),
        )
        db.execute("DROP TABLE filler")
        row = db.execute("SELECT setting FROM pg_settings WHERE name = 'shared_memory_size'")
        return int(row.fetchall()[0][0]) * 2**20


def _family(process: psutil.Process, shared: int) -> Sample:
    resident, files, members = shared, 0, 0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's helpers come and go
            resident, files = resident + member.memory_full_info().uss, files + member.num_fds()
            members += 1
    return Sample(resident, files, members)


def _alone(process: psutil.Process) -> Sample:
    with process.oneshot():
        return Sample(process.memory_info().rss, process.num_fds(), process.num_threads())


def _samples(made: Rig, services: Services, shared: int) -> Iterator[tuple[str, Sample]]:
    for name, pid in services.pids().items():
        yield name, _alone(psutil.Process(pid))
    for process in Broker(made.settings.home).running():
        yield "broker", _alone(process)
    for process in Database(made.settings.home).running():
        yield "database", _family(process, shared)


def soak(
    made: Rig, load: Load, services: Services, seconds: float, rate: float | None
) -> tuple[float, list[Growth], list[int]]:
    """Run the load; return its rate, every process's growth, and vision's backlog over time."""
    with Watch(made.behind, int(services.environment["SIGHTLINE_API__PORT"])) as watch:
        wait_until_ready(made.behind, services)
        rate = rate or _LOAD_FACTOR * find_rate(made, load, watch)
        add_cameras(made.behind, _cameras(load, rate))
        shared = _fill_shared(made)
        console.print(f"{rate:.1f} frames/s for {seconds / 60:.0f} minutes")
        time.sleep(_WARM_SECONDS)
        samples: dict[str, list[Sample]] = defaultdict(list)
        behind = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, sample in _samples(made, services, shared):
                samples[name].append(sample)
            behind.append(_backlog(watch))
            time.sleep(_SAMPLE_SECONDS)
    return rate, [growth(name, own) for name, own in sorted(samples.items())], behind


def _print(rate: float, grown: Sequence[Growth], behind: Sequence[int], minutes: float) -> None:
    table = Table(title=f"{minutes:.0f} minutes at {rate:.1f} frames/s, the last half of them")
    for head in ("process", "MiB", "rise", "files", "threads"):
        table.add_column(head, justify="left" if head == "process" else "right")
    for process in grown:
        counts = (_from_to(process.files), _from_to(process.threads))
        table.add_row(process.name, f"{process.resident:.0f}", f"{process.percent:+.1f}%", *counts)
    console.print(table)
    console.print(f"frames behind: {statistics.median(behind):.0f}, at most {max(behind)}")


def _from_to(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} to {pair[1]}"


def main() -> None:
    """Measure, print, and exit with 1 if a process grows."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, help="frames a second; else it is found")
    arguments = parser.parse_args()
    with own_folder() as folder:
        load = record(folder, _CAMERAS_OF_A_SITE)
        with rig(load, brokers=1, disks=False, people=folder / "people.zip") as made:
            port = str(free_port(made.ports.used_ports))
            environment: Mapping[str, str] = made.environment | {"SIGHTLINE_API__PORT": port}
            services = Services(environment, made.settings.home / "logs")
            with services.running(WORKERS | {"outbox": 1}):
                rate, grown, behind = soak(
                    made, load, services, 60 * arguments.minutes, arguments.rate
                )
            ended = services.statuses
    _print(rate, grown, behind, arguments.minutes)
    failures = [process.name for process in grown if not process.is_flat]
    failures += [f"{name} ended with {status}: {last_words}" for name, status, last_words in ended]
    print(json.dumps({"rate": rate, "minutes": arguments.minutes, "failures": failures}))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    run_as_program("soak", main)
