"""Mutated records through every service that reads their topic."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.fuzz.mutate import Mutator, Seed, Spoilt
from benchmarks.fuzz.seeds import CAMERA, of_topics
from benchmarks.fuzz.services import Service, wait_for
from schemas import sightline_pb2 as pb
from schemas.topics import (
    DEAD_LETTERS,
    FACES,
    FACTS,
    GALLERY,
    MATCH_STATE,
    MOTION_EVENTS,
    SIGHTINGS,
    SNAPSHOTS,
    TRACKS,
    all_topics,
    frames,
    vision_state,
)
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import producer_config
from tests.api_support import crop_of
from tests.support import api_key, bearer, read_topic, run_sightline

READERS: dict[str, tuple[str, ...]] = {
    frames().name: ("vision",),
    MOTION_EVENTS.name: ("visitor-log",),
    TRACKS.name: ("visitor-log", "person-state"),
    FACES.name: ("match",),
    SNAPSHOTS.name: ("snapshots",),
    GALLERY.name: ("match",),
    FACTS.name: ("match",),
    SIGHTINGS.name: ("access-log", "visitor-log", "snapshots", "person-state", "api"),
}
"""Who reads a topic as it comes; state and dead letters are read otherwise."""

STATES = {vision_state().name: "vision", MATCH_STATE.name: "match"}
"""Whose state a topic is, which is read when a service starts."""

_SILENT = {(GALLERY.name, "match"), (FACTS.name, "match"), (SIGHTINGS.name, "api")}
"""Counted and left out, without a dead letter: topics that are read again at every start, and a
reader that others read beside."""

_COMPACTED = {topic.name for topic in all_topics() if topic.compacted}

_START_SECONDS = 90.0
_SECONDS_A_RECORD = 0.1


@dataclass(frozen=True, slots=True)
class Row:
    """What came of the records of one topic in one service."""

    topic: str
    service: str
    sent: int
    taken: int
    refused: int
    letters: int
    alive: bool
    seconds: float
    note: str = ""

    def said(self) -> str:
        """The numbers, in a line."""
        return (
            f"{self.sent} sent = {self.taken} taken + {self.refused} refused,"
            f" {self.letters} letters, {self.seconds:.0f} s"
        )

    def is_right(self) -> bool:
        """Whether the process goes on, and every record is taken or refused, and said to be."""
        said = self.letters == self.refused or (self.topic, self.service) in _SILENT
        return self.alive and said and self.taken + self.refused == self.sent


class Records:
    """The services of one installation, and what is sent to them."""

    def __init__(self, settings: Settings, seed: int, wanted: Callable[[str], bool]) -> None:
        """`wanted`: which topics; services that read no other are not started."""
        self._settings = settings
        self._seed = seed
        self._seeds = of_topics()
        self._others = [message for seeds in self._seeds.values() for _, message in seeds[:1]]
        self._producer = Producer(
            producer_config(settings, "fuzz") | {"message.max.bytes": 8 * 1024 * 1024}
        )
        environ = {"SIGHTLINE_API__PORT": "0"}
        self.readers = {topic: names for topic, names in READERS.items() if wanted(topic)}
        names = {name for names in self.readers.values() for name in names}
        names |= {name for topic, name in STATES.items() if wanted(topic)}
        if "api" in names:
            names.add("match")  # who answers it
        self.services = {name: Service(name, settings.home, **environ) for name in sorted(names)}

    def _link_api(self) -> None:
        """Have the API follow sightings, which it does once it has asked for a decision."""
        crop: dict[str, Any] = {"track_id": 1, "face_crop": base64.b64encode(crop_of(1)).decode()}
        answer = requests.post(
            f"{self.services['api'].url()}/api/module1/process-frame",
            json={"camera_id": "fuzz", "track_ids": [crop]},
            headers=bearer(api_key(self._settings)),
            timeout=_START_SECONDS,
        )
        if not answer.ok:
            raise RuntimeError(f"the API does not decide: {answer.text}")

    def close(self) -> None:
        """End them all."""
        for one in self.services.values():
            one.kill()

    def ready(self) -> None:
        """Wait until every service takes records: one good one of each topic."""
        for one in self.services.values():
            one.until_ready()
        if "api" in self.services:
            self._link_api()
        for topic, names in self.readers.items():
            self._send(topic, [_good(self._seeds[topic][0])])
            for name in names:
                one = self.services[name]
                if not wait_for(lambda: one.taken(topic) > 0, _START_SECONDS):  # noqa: B023
                    raise RuntimeError(f"{name} takes no {topic}: {one.log()}")

    def topic(self, topic: str, count: int) -> Iterator[Row]:
        """Spoil so many records of a topic, and see what its readers make of them."""
        services = [self.services[name] for name in self.readers[topic]]
        before = {one.name: (one.taken(topic), one.refused()) for one in services}
        letters_before = self._letters()
        began = time.monotonic()
        self._send(topic, self._mutator(topic).records(count))

        def is_through(one: Service) -> bool:
            return not one.is_alive() or one.taken(topic) - before[one.name][0] >= count

        def refused(one: Service) -> int:
            return one.refused() - before[one.name][1]

        def letters(one: Service) -> int:
            return self._letters()[one.name] - letters_before[one.name]

        wait_for(lambda: all(map(is_through, services)), 30 + count * _SECONDS_A_RECORD)
        # A batch is counted as it is taken up; what is refused of it a moment later.
        with_letters = [one for one in services if (topic, one.name) not in _SILENT]
        wait_for(lambda: all(letters(one) == refused(one) for one in with_letters), 15)
        for one in services:
            taken = one.taken(topic) - before[one.name][0] - refused(one)
            yield Row(
                topic, one.name, count, taken, refused(one), letters(one), one.is_alive(),
                time.monotonic() - began, "" if one.is_alive() else one.log(),
            )  # fmt: skip
            if not one.is_alive():
                one.start()

    def state(self, topic: str, count: int) -> Row:
        """Spoil a service's own state, start it over that, and see that it works."""
        service = STATES[topic]
        one, source = self.services[service], FACES.name if service == "match" else frames().name
        one.stop()
        began = time.monotonic()
        spoilt = list(self._mutator(topic).records(count))
        if topic == vision_state().name:
            spoilt = [
                Spoilt(f"{CAMERA}-{number}".encode(), each.value) for number, each in
                enumerate(spoilt)
            ]  # fmt: skip
        self._send(topic, spoilt, partition=0)
        one.start()
        good = [_good(each) for each in self._after(topic, count)]
        self._send(source, good, partition=0)
        wait_for(lambda: not one.is_alive() or one.taken(source) >= len(good), _START_SECONDS
                 + count * _SECONDS_A_RECORD)  # fmt: skip
        came = one.taken(source)
        # Its state is in no group: what counts is that what came over it has been worked on.
        return Row(
            topic, service, len(good), came, 0, 0, one.is_alive() and came >= len(good),
            time.monotonic() - began,
            f"{count} records of state, {one.refused()} refused, then good {source}",
        )  # fmt: skip

    def letters(self, count: int) -> Row:
        """Spoil dead letters, and list and show them."""
        began = time.monotonic()
        self._send(DEAD_LETTERS.name, self._mutator(DEAD_LETTERS.name).records(count))
        listed = run_sightline(
            self._settings.home, "dlq", "list", "--limit", "100000", "--json", check=False,
            seconds=300,
        )  # fmt: skip
        there = len(read_topic(self._settings, DEAD_LETTERS.name))
        told = listed.stdout.count('"id"') if not listed.returncode else 0
        return Row(
            DEAD_LETTERS.name, "dlq list", there, told, there - told, 0, not listed.returncode,
            time.monotonic() - began, listed.stderr[-500:] or "all letters of this run, read back",
        )  # fmt: skip

    def _after(self, topic: str, count: int) -> Iterable[Seed]:
        """Good records that meet the state."""
        if topic == MATCH_STATE.name:
            return self._seeds[FACES.name] * 5
        frame = self._seeds[frames().name][1][1]
        met = []
        for number in range(count):
            mine = pb.Frame.FromString(frame.SerializeToString())
            mine.camera_id = f"{CAMERA}-{number}"
            met.append((mine.camera_id.encode(), mine))
        return met

    def _mutator(self, topic: str) -> Mutator:
        return Mutator(self._seeds[topic], self._others, self._seed)

    def _given_up(self, one: Service, before: Counter[str]) -> int:
        return self._letters()[one.name] - before[one.name]

    def _letters(self) -> Counter[str]:
        """How many dead letters there are of each service."""
        return Counter(
            pb.DeadLetter.FromString(record.value or b"").service
            for record in read_topic(self._settings, DEAD_LETTERS.name)
        )

    def _send(self, topic: str, records: Iterable[Spoilt], partition: int = -1) -> None:
        """Raises RuntimeError where the broker takes one of them not: it was not sent then."""
        lost: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                lost.append(error.str())

        for record in records:
            # A compacted topic takes no batch that has a record without a key.
            key = record.key or (b"none" if topic in _COMPACTED else record.key)
            self._producer.produce(
                topic, record.value, key, partition, timestamp=record.timestamp_ms,
                headers=list(record.headers), on_delivery=delivered,
            )  # fmt: skip
            self._producer.poll(0)
        if self._producer.flush(60) or lost:
            raise RuntimeError(f"{topic} does not take {len(lost)} records: {lost[:1]}")


def _good(seed: Seed) -> Spoilt:
    return Spoilt(seed[0], seed[1].SerializeToString())
