"""Mutated records sent to every service that reads their topic."""

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from confluent_kafka import KafkaError, Message, Producer

from benchmarks.fuzz.mutate import MutatedRecord, Mutator, Seed
from benchmarks.fuzz.seeds import CAMERA, of_topics
from benchmarks.fuzz.services import Service
from benchmarks.rig import wait_for
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import producer_config
from tests.api_support import crop_of
from tests.support import api_key, bearer, read_topic, run_sightline

READERS: dict[str, tuple[str, ...]] = {
    topics.frames().name: ("vision",),
    topics.MOTION_EVENTS.name: ("visitor-log",),
    topics.TRACKS.name: ("visitor-log", "person-state"),
    topics.FACES.name: ("match",),
    topics.SNAPSHOTS.name: ("snapshots",),
    topics.CROPS.name: ("vision",),
    topics.CROP_OUTCOMES.name: ("api",),
    topics.GALLERY.name: ("match",),
    topics.FACTS.name: ("match",),
    topics.SIGHTINGS.name: ("access-log", "visitor-log", "snapshots", "person-state", "api"),
}
"""Services that consume a topic; state and dead letters are read in other ways."""

STATES = {
    topics.vision_state().name: ("vision", topics.frames().name),
    topics.CROP_STATE.name: ("vision", topics.CROPS.name),
    topics.MATCH_STATE.name: ("match", topics.FACES.name),
}
"""The service that reads a topic of state when it starts, and the topic that it goes on with."""

_SILENT = {
    (topics.GALLERY.name, "match"),
    (topics.FACTS.name, "match"),
    (topics.SIGHTINGS.name, "api"),
    (topics.CROP_OUTCOMES.name, "api"),
}
"""Readers that count and skip poison records without a dead letter: topics that are read at every
start, and a reader beside others."""

_COMPACTED = {topic.name for topic in topics.all_topics() if topic.compacted}

_START_SECONDS = 90.0
_SECONDS_PER_RECORD = 0.1
_POLL_SECONDS = 0.25
"""Pause between looks at metrics or at a whole topic, which the services' cores have to make."""


@dataclass(frozen=True, slots=True)
class Row:
    """Outcome of the records of one topic in one service."""

    topic: str
    service: str
    sent: int
    taken: int
    refused: int
    letters: int
    alive: bool
    seconds: float
    note: str = ""

    def summary(self) -> str:
        """Return the numbers as a line."""
        return (
            f"{self.sent} sent = {self.taken} taken + {self.refused} refused,"
            f" {self.letters} letters, {self.seconds:.0f} s"
        )

    def is_right(self) -> bool:
        """Return True if the process lives and every record is consumed or reported as refused."""
        is_reported = self.letters == self.refused or (self.topic, self.service) in _SILENT
        return self.alive and is_reported and self.taken + self.refused == self.sent


class Records:
    """The services of one installation, and the records that are sent to them."""

    def __init__(self, settings: Settings, seed: int, is_selected: Callable[[str], bool]) -> None:
        """Start the services that read a selected topic."""
        self._settings = settings
        self._seed = seed
        self._seeds = of_topics()
        self._others = [message for seeds in self._seeds.values() for _, message in seeds[:1]]
        self._producer = Producer(
            producer_config(settings, "fuzz") | {"message.max.bytes": 8 * 1024 * 1024}
        )
        environ = {"SIGHTLINE_API__PORT": "0"}
        self.readers = {topic: names for topic, names in READERS.items() if is_selected(topic)}
        names = {name for names in self.readers.values() for name in names}
        names |= {name for topic, (name, _) in STATES.items() if is_selected(topic)}
        if "api" in names:
            names |= {"vision", "match"}  # they answer the API
        self.services = {name: Service(name, settings.home, **environ) for name in sorted(names)}

    def _link_api(self) -> None:
        """Make the API consume sightings, which it does after its first request for a decision."""
        crop: dict[str, Any] = {"track_id": 1, "face_crop": base64.b64encode(crop_of(1)).decode()}
        url = f"{self.services['api'].url()}/api/module1/process-frame"
        body: dict[str, Any] = {"camera_id": "fuzz", "track_ids": [crop]}
        headers = bearer(api_key(self._settings))

        def is_decided() -> bool:
            # The first crop waits for vision's models, maybe longer than a request does.
            return requests.post(url, json=body, headers=headers, timeout=_START_SECONDS).ok

        if not wait_for(is_decided, _START_SECONDS):
            raise RuntimeError("the API gives no decision")

    def close(self) -> None:
        """Kill all services."""
        for service in self.services.values():
            service.kill()

    def ready(self) -> None:
        """Wait until every service has consumed a good record of each of its topics."""
        for service in self.services.values():
            service.until_ready()
        if "api" in self.services:
            self._link_api()
        for topic, names in self.readers.items():
            self._send(topic, [_good(self._seeds[topic][0])])
            for name in names:
                service = self.services[name]
                if not wait_for(lambda: service.taken(topic) > 0, _START_SECONDS):  # noqa: B023
                    raise RuntimeError(f"{name} takes no {topic}: {service.log()}")

    def topic(self, topic: str, count: int) -> Iterator[Row]:
        """Send mutated records of a topic; yield the outcome for each of its readers."""
        services = [self.services[name] for name in self.readers[topic]]
        before = {service.name: (service.taken(topic), service.refused()) for service in services}
        letters_before = self._letters()
        began = time.monotonic()
        self._send(topic, self._mutator(topic).records(count))

        def is_through(service: Service) -> bool:
            return not service.is_alive() or service.taken(topic) - before[service.name][0] >= count

        def refused(service: Service) -> int:
            return service.refused() - before[service.name][1]

        def letters(service: Service) -> int:
            return self._letters()[service.name] - letters_before[service.name]

        seconds = 30 + count * _SECONDS_PER_RECORD
        wait_for(lambda: all(map(is_through, services)), seconds, _POLL_SECONDS)
        # A batch is counted as it is taken up; what is refused of it a moment later.
        with_letters = [service for service in services if (topic, service.name) not in _SILENT]
        looks: list[list[tuple[int, int]]] = [[]]

        def is_settled() -> bool:
            looks.append([(letters(service), refused(service)) for service in with_letters])
            return looks[-1] == looks[-2] and all(sent == counted for sent, counted in looks[-1])

        wait_for(is_settled, 15, _POLL_SECONDS)
        for service in services:
            taken = service.taken(topic) - before[service.name][0] - refused(service)
            yield Row(
                topic, service.name, count, taken, refused(service), letters(service),
                service.is_alive(), time.monotonic() - began,
                "" if service.is_alive() else service.log(),
            )  # fmt: skip
            if not service.is_alive():
                service.start()

    def state(self, topic: str, count: int) -> Row:
        """Mutate a service's own state, restart it on that, and check that it works."""
        name, source = STATES[topic]
        process = self.services[name]
        process.stop()
        began = time.monotonic()
        mutated = list(self._mutator(topic).records(count))
        if topic != topics.MATCH_STATE.name:
            mutated = [
                MutatedRecord(f"{CAMERA}-{number}".encode(), each.value) for number, each in
                enumerate(mutated)
            ]  # fmt: skip
        self._send(topic, mutated, partition=0)
        process.start()
        good = [_good(each) for each in self._after(topic, count)]
        self._send(source, good, partition=0)
        seconds = _START_SECONDS + count * _SECONDS_PER_RECORD
        wait_for(lambda: not process.is_alive() or process.taken(source) >= len(good), seconds)
        consumed = process.taken(source)
        # State is not consumed by a group: the records processed after it count.
        return Row(
            topic, name, len(good), consumed, 0, 0, process.is_alive() and consumed >= len(good),
            time.monotonic() - began,
            f"{count} records of state, {process.refused()} refused, then good {source}",
        )  # fmt: skip

    def letters(self, count: int) -> Row:
        """Send mutated dead letters and list them."""
        began = time.monotonic()
        self._send(topics.DEAD_LETTERS.name, self._mutator(topics.DEAD_LETTERS.name).records(count))
        listed = run_sightline(
            self._settings.home, "dlq", "list", "--limit", "100000", "--json", check=False,
            seconds=300,
        )  # fmt: skip
        total = len(read_topic(self._settings, topics.DEAD_LETTERS.name))
        listed_letters = listed.stdout.count('"id"') if not listed.returncode else 0
        return Row(
            topics.DEAD_LETTERS.name, "dlq list", total, listed_letters, total - listed_letters, 0,
            not listed.returncode, time.monotonic() - began,
            listed.stderr[-500:] or "all letters of this run, read back",
        )  # fmt: skip

    def _after(self, topic: str, count: int) -> Iterable[Seed]:
        """Return good records that meet the state."""
        if topic == topics.MATCH_STATE.name:
            return self._seeds[topics.FACES.name] * 5
        if topic == topics.CROP_STATE.name:
            return [_numbered(self._seeds[topics.CROPS.name][0], number) for number in range(count)]
        frame = self._seeds[topics.frames().name][1][1]
        met = []
        for number in range(count):
            copy = pb.Frame.FromString(frame.SerializeToString())
            copy.camera_id = f"{CAMERA}-{number}"
            met.append((copy.camera_id.encode(), copy))
        return met

    def _mutator(self, topic: str) -> Mutator:
        return Mutator(self._seeds[topic], self._others, self._seed)

    def _letters(self) -> Counter[str]:
        """Return the number of dead letters by service."""
        return Counter(
            pb.DeadLetter.FromString(record.value or b"").service
            for record in read_topic(self._settings, topics.DEAD_LETTERS.name)
        )

    def _send(self, topic: str, records: Iterable[MutatedRecord], partition: int = -1) -> None:
        """Send records. Raises RuntimeError if the broker has refused one."""
        lost: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                lost.append(error.str())

        for record in records:
            # A compacted topic accepts no batch that has a record without a key.
            key = record.key or (b"none" if topic in _COMPACTED else record.key)
            self._producer.produce(
                topic, record.value, key, partition, timestamp=record.timestamp_ms,
                headers=list(record.headers), on_delivery=delivered,
            )  # fmt: skip
            self._producer.poll(0)
        if self._producer.flush(60) or lost:
            raise RuntimeError(f"{topic} does not take {len(lost)} records: {lost[:1]}")


def _numbered(seed: Seed, number: int) -> Seed:
    crop = pb.Crop.FromString(seed[1].SerializeToString())
    crop.track_number = number
    return seed[0], crop


def _good(seed: Seed) -> MutatedRecord:
    return MutatedRecord(seed[0], seed[1].SerializeToString())
