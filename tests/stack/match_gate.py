"""Kill the matcher again and again with a backlog, and count what is lost.

Usage: python -m tests.stack.match_gate [--rounds 24] [--seed 1] [--nameless], on the
installation of $SIGHTLINE_HOME, which has to be up.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from confluent_kafka import OFFSET_END, Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.naming import match_group
from schemas.topics import FACES, LIVE, SIGHTINGS
from sightline.people import employees
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect
from sightline.storage.outbox import deliver
from sightline.streaming.client_config import client_config, consumer_config
from tests.match_support import Walk, Worker, enrol_numbers, produce, sightings
from tests.support import eventually, read_topic

ENROLLED = (11, 12, 13)
STRANGERS = (14, 15, 16, 17, 18, 19)
SITES = 4
WALKS_IN_BATCH = 6
BATCHES_IN_ROUND = 5
ABORTED = 0.3

ROUNDS = ("kill", "stop", "join", "freeze", "before-state", "join", "kill both", "before-produce",
          "stop", "in-recovery", "before-commit", "kill")  # fmt: skip
"""What happens to the workers, in turn: kill -9, SIGTERM, a second one joins, one of two is
stopped for longer than its session, both are killed, one dies at a place of the code."""

TWO = ("join", "freeze", "kill both")
"""Rounds with two workers; in all others there is one."""

Percentiles = dict[str, list[float]]


@dataclass
class Report:
    """What the gate has found; everything but the first three has to be empty."""

    rounds: int = 0
    observations: int = 0
    twice: int = 0  # sightings that were emitted once more, which sinks do not mind
    unseen: list[str] = field(default_factory=list)  # tracks that never got their end
    doubled: list[str] = field(default_factory=list)  # people with two ids
    misnamed: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)  # of transactions that were aborted
    behind: list[str] = field(default_factory=list)  # partitions not committed to the end
    stale: list[str] = field(default_factory=list)  # said by a worker whose time was over
    survived: list[str] = field(default_factory=list)  # frozen workers that went on
    back_s: Percentiles = field(default_factory=lambda: defaultdict(list))
    """By what the worker before died of: seconds from a process's start to its first word."""

    def failures(self) -> list[str]:
        """All that must not be."""
        return [
            *self.unseen, *self.doubled, *self.misnamed, *self.ghosts, *self.behind, *self.stale,
            *self.survived,
        ]  # fmt: skip

    def table(self) -> str:
        """For people to read."""
        lines = [f"{name:>20}  {value}" for name, value in vars(self).items() if name != "back_s"]
        for after, seconds in sorted(self.back_s.items()):
            ranked = sorted(seconds)
            p50, p95 = (ranked[min(len(ranked) - 1, len(ranked) * p // 100)] for p in (50, 95))
            lines.append(
                f"back after {after:>9}  p50 {p50:.2f} s, p95 {p95:.2f} s, {len(ranked)} times"
            )
        return "\n".join(lines)


class Pool:
    """The workers, each with a name that the next one in its place has too."""

    def __init__(self, settings: Settings, folder: Path, *, named: bool) -> None:
        self._settings = settings
        self._folder = folder
        self._faults = folder / "faults"
        self._faults.mkdir()
        self._named = named
        self._started = 0
        self.workers: dict[int, Worker] = {}

    def start(self, place: int) -> Worker:
        """A worker for a place; its log is kept."""
        self._started += 1
        environ = {"SIGHTLINE_FAULT_INJECTION": str(self._faults)}
        if self._named:
            environ["SIGHTLINE_INSTANCE"] = str(place)
        log = self._folder / f"match-{self._started}.log"
        self.workers[place] = Worker(self._settings.home, log, **environ)
        return self.workers[place]

    def scale(self, count: int) -> None:
        """Have so many; those too many are stopped, as when a pool is made smaller."""
        for place in [place for place in self.workers if place > count]:
            self.workers.pop(place).stop()
        for place in range(1, count + 1):
            if place not in self.workers:
                self.start(place)

    def arm(self, place: str) -> None:
        """Let a worker die at a place of the code."""
        (self._faults / f"match.{place}").touch()

    def end(self) -> None:
        """Kill what is left."""
        for worker in self.workers.values():
            worker.kill()


class Load:
    """People who walk past cameras, in transactions some of which are taken back."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._random = random.Random(seed)
        # Another run's people and cameras are not this one's.
        self._prefix = f"gate-{seed}-{time.time_ns() // 10**6}"
        self.names = {person: f"{self._prefix} {person}" for person in ENROLLED}
        self.enrolled_ids = {
            ids.global_id(enrol_numbers(settings, name, person))
            for person, name in self.names.items()
        }
        self.sites = [f"{self._prefix}-{number}" for number in range(SITES)]
        self.walks: list[Walk] = []
        self.ghosts: set[str] = set()
        self._at_s = 0.0

    def forget_people(self) -> None:
        """Remove them, or the next run on this installation would enrol their faces twice."""
        with connect(self._settings) as db, db.cursor() as cursor:
            for name in self.names.values():
                employees.remove(cursor, employees.lock(cursor, name))
        deliver(self._settings)

    def batch(self, *, abort: bool) -> None:
        """Some walks at once, their shots between each other's."""
        site = self._random.choice(self.sites)
        people = self._random.sample(ENROLLED + STRANGERS, WALKS_IN_BATCH)
        self._at_s += 30
        walks = [
            Walk(person, f"{site}-{self._random.randrange(3)}", site, self._at_s)
            for person in people
        ]
        if abort:
            self.ghosts.update(walk.track_id for walk in walks)
        else:
            self.walks += walks
        shots = [walk.shot(number) for number in range(4) for walk in walks]
        ends = [walk.end() for walk in walks]
        produce(self._settings, [*shots, *ends], commit=not abort, name=self._prefix)

    def round(self) -> None:
        """A backlog for one round; its last transaction counts."""
        for _ in range(BATCHES_IN_ROUND):
            self.batch(abort=self._random.random() < ABORTED)
        self.batch(abort=False)


def gate(
    settings: Settings, folder: Path, rounds: Sequence[str], seed: int, *, named: bool = True
) -> Report:
    """Run the rounds, let one worker finish, and compare."""
    load = Load(settings, seed)
    looker = Consumer(consumer_config(settings, "gate", "gate"))
    chance = random.Random(seed)
    pool = Pool(settings, folder, named=named)
    back: Percentiles = defaultdict(list)
    survived: list[str] = []
    died = ""
    try:
        for what in rounds:
            before = _sighting_count(looker)
            load.round()
            began = time.monotonic()
            pool.scale(2 if what in TWO else 1)
            _at_once(lambda: _sighting_count(looker) > before)  # noqa: B023 - called at once
            if died and what not in TWO:
                back[died].append(time.monotonic() - began)
            # In the middle of it.
            enough = before + chance.randrange(5, 60)
            _at_once(lambda: _sighting_count(looker) >= enough)  # noqa: B023
            died = _hit(settings, pool, what, survived)
        pool.scale(1)
        _in_time(lambda: not _unseen(settings, load), 60)
        _in_time(lambda: not _behind(settings), 20)
        return _report(settings, load, Report(len(rounds), back_s=back, survived=survived))
    finally:
        looker.close()
        pool.end()
        load.forget_people()


def _hit(settings: Settings, pool: Pool, what: str, survived: list[str]) -> str:
    """Do to the workers what a round does; what the next one comes after, empty if alive."""
    first = pool.workers[1]
    match what:
        case "join":
            return ""
        case "stop":
            pool.workers.pop(1).stop()
        case "kill both":
            for place in list(pool.workers):
                pool.workers.pop(place).kill()
        case "kill":
            pool.workers.pop(1).kill()
        case "freeze":
            # One that is still joining has no place to lose, and would rightly go on.
            eventually(
                lambda: all("match: ready" in worker.log() for worker in pool.workers.values())
            )
            _wait_for_members(settings, 2)
            first.freeze()
            _wait_for_members(settings, 1)
            first.thaw()
            with suppress(subprocess.TimeoutExpired):
                first.process.wait(120)
            if first.process.poll() != 1:
                survived.append(f"{first.process.poll()} instead of 1")
            pool.workers.pop(1).kill()
        case place:
            pool.arm(place)
            if place == "in-recovery":
                first.kill()
                first = pool.start(1)
            first.process.wait(90)
            del pool.workers[1]
    return "SIGTERM" if what == "stop" else "kill -9"


_at_once = partial(eventually, is_urgent=True)
"""Wait for a moment in the middle of a round, which is over soon."""


def _in_time(condition: Callable[[], bool], seconds: float) -> None:
    """Wait; what is still not there then is in the report."""
    with suppress(AssertionError):
        eventually(condition, seconds)


def _wait_for_members(settings: Settings, count: int) -> None:
    """Wait until the group of the matchers has so many workers, each with its partitions."""
    admin = AdminClient(client_config(settings, "gate"))
    group = match_group(LIVE)

    def is_so() -> bool:
        time.sleep(0.2)
        found = admin.describe_consumer_groups([group])[group].result(60)
        return found.state == ConsumerGroupState.STABLE and len(found.members) == count

    eventually(is_so)


def _sighting_count(consumer: Consumer) -> int:
    """How many sightings there are; it is asked in quick succession, in one request."""
    ends = [
        TopicPartition(SIGHTINGS.name, number, OFFSET_END) for number in range(SIGHTINGS.partitions)
    ]
    return sum(part.offset for part in consumer.offsets_for_times(ends, timeout=60))


def _behind(settings: Settings) -> list[str]:
    """Partitions of `faces` with committed records behind the worker's committed offset."""
    last: dict[int, int] = {}
    for record in read_topic(settings, FACES.name):
        last[record.partition] = max(record.offset, last.get(record.partition, 0))
    consumer = Consumer(consumer_config(settings, "gate", "sightline-match"))
    try:
        found = consumer.committed(
            [TopicPartition(FACES.name, number) for number in last], timeout=10
        )
    finally:
        consumer.close()
    return [
        f"{FACES.name}/{part.partition} is committed to {part.offset} of {last[part.partition] + 1}"
        for part in found
        if part.offset <= last[part.partition]
    ]


def _unseen(settings: Settings, load: Load) -> list[str]:
    ended = {
        worker.track_id
        for worker in sightings(settings, *load.sites)
        if worker.status == pb.Sighting.ENDED
    }
    return [walk.track_id for walk in load.walks if walk.track_id not in ended]


def _report(settings: Settings, load: Load, report: Report) -> Report:
    found = sightings(settings, *load.sites)
    said = Counter((worker.sighting_id, worker.status) for worker in found)
    people: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    report.observations = 4 * len(load.walks)
    report.twice = sum(times - 1 for times in said.values())
    report.unseen = _unseen(settings, load)
    report.ghosts = sorted({worker.track_id for worker in found} & load.ghosts)
    report.behind = _behind(settings)
    report.stale = _stale(found)
    last = {worker.track_id: worker for worker in found if worker.status == pb.Sighting.ENDED}
    for walk in load.walks:
        sighting = last.get(walk.track_id)
        if sighting is None:
            continue
        people[walk.site, walk.person].add(sighting.global_id)
        if sighting.name != load.names.get(walk.person, ""):
            report.misnamed.append(f"{walk.person} was called {sighting.name!r}")
        if sighting.shots != 4:
            report.unseen.append(f"a shot of {walk.track_id}")
    report.doubled += [f"{who}: {known}" for who, known in people.items() if len(known) > 1]
    shared = Counter(known for known_ids in people.values() for known in known_ids)
    report.doubled += [
        f"{known} is {times} people"
        for known, times in shared.items()
        if times > 1 and known not in load.enrolled_ids
    ]
    return report


def _stale(found: Sequence[pb.Sighting]) -> list[str]:
    """Tracks of which the last word, after their end was said, is that they are there.

    Before that last word it may be: what is done again is said again.
    """
    over: dict[str, pb.Sighting.Status] = {}
    for worker in found:
        if worker.status == pb.Sighting.ENDED or (
            worker.track_id in over and worker.status != pb.Sighting.CHANGED
        ):
            over[worker.track_id] = worker.status
    return [
        f"{track_id} is {pb.Sighting.Status.Name(status)} after its end"
        for track_id, status in over.items()
        if status != pb.Sighting.ENDED
    ]


def main() -> None:
    """Run the gate as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nameless", action="store_true", help="members that are not static")
    arguments = parser.parse_args()
    rounds = list(islice(cycle(ROUNDS), arguments.rounds))
    with tempfile.TemporaryDirectory() as folder:
        report = gate(
            load_settings(), Path(folder), rounds, arguments.seed, named=not arguments.nameless
        )
    print(report.table())  # noqa: T201
    sys.exit(1 if report.failures() else 0)


if __name__ == "__main__":
    main()
