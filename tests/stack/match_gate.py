"""Kill the matcher again and again with a backlog, and count what is lost.

Usage: python -m tests.stack.match_gate [--rounds 20] [--seed 1], on the installation of
$SIGHTLINE_HOME, which has to be up.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.topics import FACES, SIGHTINGS
from sightline.kafka.config import consumer_config
from sightline.people import records
from sightline.settings import Settings, load_settings
from sightline.store.db import connect
from sightline.store.outbox import deliver
from tests.match_support import Walk, Worker, enrol_numbers, produce, sightings
from tests.support import eventually, read_topic

ENROLLED = (11, 12, 13)
STRANGERS = (14, 15, 16, 17, 18, 19)
SITES = 4
WALKS_IN_BATCH = 6
BATCHES_IN_ROUND = 5
ABORTED = 0.3

ROUNDS = ("kill", "stop", "join", "kill both")
"""What happens to the workers, in turn: kill -9, SIGTERM, a second one joins, both are killed."""


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

    def failures(self) -> list[str]:
        """All that must not be."""
        return self.unseen + self.doubled + self.misnamed + self.ghosts + self.behind


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
                records.remove(cursor, records.lock(cursor, name))
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


def gate(settings: Settings, folder: Path, rounds: int, seed: int) -> Report:
    """Run the rounds, let one worker finish, and compare."""
    load = Load(settings, seed)
    chance = random.Random(seed)
    workers: list[Worker] = []
    try:
        for number in range(rounds):
            what = ROUNDS[number % len(ROUNDS)]
            before = _said(settings)
            load.round()
            while len(workers) < (2 if what in ("join", "kill both") else 1):
                workers.append(_start(settings, folder))
            # In the middle of it.
            enough = before + chance.randrange(5, 60)
            eventually(lambda: _said(settings) >= enough, 40)  # noqa: B023 - called at once
            if what == "join":
                continue
            for one in list(workers) if what == "kill both" else workers[:1]:
                workers.remove(one)
                one.stop() if what == "stop" else one.kill()
        workers.append(_start(settings, folder))
        _in_time(lambda: not _unseen(settings, load), 60)
        _in_time(lambda: not _behind(settings), 20)
        return _report(settings, load, rounds)
    finally:
        for one in workers:
            one.kill()
        load.forget_people()


def _start(settings: Settings, folder: Path) -> Worker:
    return Worker(settings.home, folder / f"match-{len(list(folder.iterdir()))}.log")


def _in_time(condition: Callable[[], bool], seconds: float) -> None:
    """Wait; what is still not there then is in the report."""
    with suppress(AssertionError):
        eventually(condition, seconds)


def _said(settings: Settings) -> int:
    """How many sightings there are."""
    consumer = Consumer(consumer_config(settings, "gate", "gate"))
    try:
        numbers = consumer.list_topics(SIGHTINGS.name, timeout=10).topics[SIGHTINGS.name].partitions
        return sum(
            consumer.get_watermark_offsets(TopicPartition(SIGHTINGS.name, number), timeout=10)[1]
            for number in numbers
        )
    finally:
        consumer.close()


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
        one.track_id for one in sightings(settings, *load.sites) if one.status == pb.Sighting.ENDED
    }
    return [walk.track_id for walk in load.walks if walk.track_id not in ended]


def _report(settings: Settings, load: Load, rounds: int) -> Report:
    found = sightings(settings, *load.sites)
    said = Counter((one.sighting_id, one.status) for one in found)
    people: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    report = Report(
        rounds=rounds,
        observations=4 * len(load.walks),
        twice=sum(times - 1 for times in said.values()),
        unseen=_unseen(settings, load),
        ghosts=sorted({one.track_id for one in found} & load.ghosts),
        behind=_behind(settings),
    )
    last = {one.track_id: one for one in found if one.status == pb.Sighting.ENDED}
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


def main() -> None:
    """Run the gate as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = gate(load_settings(), Path(folder), arguments.rounds, arguments.seed)
    print(report)  # noqa: T201
    sys.exit(1 if report.failures() else 0)


if __name__ == "__main__":
    main()
