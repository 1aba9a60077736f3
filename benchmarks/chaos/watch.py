"""Progress of all services, sampled five times a second, past the proxies."""

import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import KafkaException

from benchmarks.chaos.positions import PositionReader
from schemas import topics
from schemas.naming import vision_group
from schemas.topics import Topic
from sightline.audit.roles import Role
from sightline.runtime.connection_urls import database_url
from sightline.runtime.settings import Settings
from tests.support import api_key, bearer

_SAMPLE_SECONDS = 0.2
_MEMBERS_SECONDS = 1.0
_FRAMES = topics.frames()
VISION = vision_group(topics.DEFAULT_FLEET, topics.LIVE)
_GROUP = "chaos-onlookers"
_TOPICS = (
    _FRAMES, topics.TRACKS, topics.FACES, topics.SNAPSHOTS, topics.SIGHTINGS, topics.MOTION_EVENTS,
    topics.MATCH_STATE,
)  # fmt: skip

_SINK_INPUTS = {
    "access-log": (topics.SIGHTINGS,),
    "visitor-log": (topics.SIGHTINGS, topics.MOTION_EVENTS, topics.TRACKS),
    "snapshots": (topics.SIGHTINGS, topics.SNAPSHOTS),
    "person-state": (topics.SIGHTINGS, topics.TRACKS),
}


@dataclass(frozen=True, slots=True)
class Look:
    """A sample of a number that only grows."""

    began: float  # monotonic
    ended: float
    value: int


Series = list[Look]


@dataclass
class Watch:
    """A sampler of progress until it is closed; `series` by name."""

    settings: Settings
    api_port: int
    series: dict[str, Series] = field(default_factory=lambda: defaultdict(list))
    owners: list[tuple[float, dict[str, frozenset[int]]]] = field(default_factory=list)
    """Partitions of the frames by vision instance, over time."""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _answers: int = 0
    _key: str = field(init=False, repr=False)

    def __enter__(self) -> "Watch":
        self._key = api_key(self.settings, Role.VIEWER)
        works = (self._kafka, self._groups, self._sinks, self._api)
        for work in works:
            thread = threading.Thread(target=self._repeat, args=(work,), name=work.__name__)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def last(self, name: str) -> int:
        """Return the last value of a series; 0 before the first."""
        return self.series[name][-1].value if self.series[name] else 0

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            with suppress(KafkaException, psycopg.Error, OSError):
                work()

    def _note(self, began: float, values: dict[str, int]) -> None:
        ended = time.monotonic()
        for name, value in values.items():
            self.series[name].append(Look(began, ended, value))

    def _kafka(self) -> None:
        with closing(PositionReader(self.settings, _GROUP)) as reader:
            while not self._over.wait(_SAMPLE_SECONDS):
                began = time.monotonic()
                ends = reader.ends(_TOPICS)
                self._note(began, {f"{name}/{number}": end for (name, number), end in ends.items()})

    def _groups(self) -> None:
        with closing(PositionReader(self.settings, VISION)) as reader:
            members_read_at = 0.0
            while not self._over.wait(_SAMPLE_SECONDS):
                began = time.monotonic()
                offsets = reader.committed(_FRAMES)
                self._note(began, {f"vision/{number}": at for (_, number), at in offsets.items()})
                if began - members_read_at > _MEMBERS_SECONDS:
                    members_read_at = began
                    members = reader.members()
                    owned = {name.rpartition("-")[2]: parts for name, parts in members.items()}
                    self.owners.append((began, owned))

    def _sinks(self) -> None:
        began = time.monotonic()
        with psycopg.connect(database_url(self.settings), connect_timeout=2) as db:
            while not self._over.wait(_SAMPLE_SECONDS):
                began = time.monotonic()
                rows = db.execute("SELECT sink, sum(next_offset) FROM sink_offsets GROUP BY 1")
                offsets = {str(sink): int(total) for sink, total in rows}
                db.rollback()
                self._note(began, offsets)

    def _api(self) -> None:
        began = time.monotonic()
        url = f"http://127.0.0.1:{self.api_port}/api/module1/access-summary"
        request = urllib.request.Request(url, headers=bearer(self._key))
        with urllib.request.urlopen(request, timeout=2) as answer:
            answer.read()
        self._answers += 1
        self._note(began, {"api": self._answers})


def outputs_of(slot: str, watch: Watch, at: float) -> tuple[list[str], list[str]]:
    """Return the series of a worker's output, and those of its input."""
    service, _, instance = slot.rpartition("-")
    if service == "vision":
        owned = next((owned for when, owned in reversed(watch.owners) if when <= at), {})
        numbers = sorted(owned.get(instance, ()))
        return [f"vision/{n}" for n in numbers], [f"{_FRAMES.name}/{n}" for n in numbers]
    if service == "cameras":
        return _series(_FRAMES), []
    if service == "match":
        # Not every face leads to a sighting, but each to a new state of its track.
        return _series(topics.MATCH_STATE), _series(topics.FACES)
    if service in _SINK_INPUTS:
        return [service], [name for topic in _SINK_INPUTS[service] for name in _series(topic)]
    return [service], []


def _series(topic: Topic) -> list[str]:
    return [f"{topic.name}/{number}" for number in range(topic.partitions)]
