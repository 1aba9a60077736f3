"""Where in the topics a person is, record for record, and what makes each of them go."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from google.protobuf.message import DecodeError

from ops.erasure.id_scanner import Needles
from schemas import sightline_pb2 as pb
from schemas.naming import live_name
from schemas.topics import FACES, SIGHTINGS, SNAPSHOTS, TRACKS, all_topics
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import client_config
from sightline.streaming.records import Record
from sightline.streaming.sizes import Place
from sightline.streaming.topic_reader import records_from, retained

_SECONDS = 10.0
_FRAMES = "frames."


@dataclass(slots=True)
class Found:
    """Records of one partition that hold the person, by offset; the time of the latest (ms)."""

    offsets: set[int] = field(default_factory=set)
    latest_ms: int = 0

    def add(self, offset: int, at_ms: int) -> None:
        """One more."""
        self.offsets.add(offset)
        self.latest_ms = max(self.latest_ms, at_ms)


@dataclass(slots=True)
class Search:
    """What a search of all topics has found."""

    logs: dict[Place, Found] = field(default_factory=lambda: defaultdict(Found))
    """Records of log-retained topics."""
    replaced: dict[Place, Found] = field(default_factory=lambda: defaultdict(Found))
    """Records of compacted topics that a later one of their key has replaced."""
    tombstones: dict[Place, Found] = field(default_factory=lambda: defaultdict(Found))
    """Those later ones, where their keys name the person."""
    live: list[Record] = field(default_factory=list)
    """Records of compacted topics that nothing has replaced."""
    ends: dict[Place, int] = field(default_factory=dict)
    """Up to where was searched."""


def names(settings: Settings, fleets: tuple[str, ...]) -> list[str]:
    """Our topics that there are, those of runs among them. Raises InfrastructureError."""
    admin = AdminClient(client_config(settings, "sightline-erase"), logger=LIBRDKAFKA)
    try:
        there = set(admin.list_topics(timeout=_SECONDS).topics)
    except KafkaException as error:
        raise InfrastructureError(f"Kafka: {error.args[0].str()}") from error
    ours = {topic.name for topic in all_topics(fleets)}
    return sorted(name for name in there if name in ours or live_name(name) in ours)


def search(
    settings: Settings, needles: Needles, tracks: Iterable[str], fleets: tuple[str, ...]
) -> Search:
    """Look through all topics. Frames are found by what was seen in them.

    Raises InfrastructureError when Kafka does not give them.
    """
    compacted = {topic.name for topic in all_topics(fleets) if topic.compacted}
    theirs = set(tracks)
    found = Search()
    frames: dict[Place, dict[int, int]] = defaultdict(dict)
    held: dict[str, dict[int, tuple[int, int]]] = {}
    for topic in names(settings, fleets):
        held[topic] = retained(settings, topic)
        found.ends.update({(topic, number): end for number, (_, end) in held[topic].items()})
        if topic in compacted:
            _search_compacted(settings, topic, held[topic], needles, found)
        elif not topic.startswith(_FRAMES):
            for record in _holding(settings, topic, held[topic], needles):
                found.logs[topic, record.partition].add(record.offset, record.timestamp_ms)
                for frame in frames_in(record, theirs):
                    frames[frame.topic, frame.partition][frame.offset] = record.timestamp_ms
    for (topic, number), offsets in frames.items():
        low, high = held.get(topic, {}).get(number, (0, 0))
        for offset, at_ms in offsets.items():
            if low <= offset < high:
                found.logs[topic, number].add(offset, at_ms)
    return found


def live(
    settings: Settings, topic: str, needles: Needles, *, keys: Iterable[bytes] = ()
) -> list[Record]:
    """The records of a compacted topic that hold the person and that nothing has replaced.

    `keys`: but those.
    """
    found = Search()
    _search_compacted(settings, topic, retained(settings, topic), needles, found)
    left_out = set(keys)
    return [record for record in found.live if record.key not in left_out]


def frames_in(record: Record, tracks: set[str]) -> list[pb.Position]:
    """The frames in which a record says that one of these tracks was seen."""
    kind, value = live_name(record.topic), record.value or b""
    with suppress(DecodeError):
        if kind == TRACKS.name:
            seen = pb.FrameTracks.FromString(value)
            return [seen.frame] if any(one.track_id in tracks for one in seen.tracks) else []
        if kind == FACES.name:
            shot = pb.FaceEvent.FromString(value).observation
            return [shot.frame] if shot.track_id in tracks else []
        if kind == SIGHTINGS.name:
            said = pb.Sighting.FromString(value)
            return [said.frame] if said.track_id in tracks else []
        if kind == SNAPSHOTS.name:
            picture = pb.Snapshot.FromString(value)
            return [picture.frame] if picture.track_id in tracks else []
    return []


def _search_compacted(
    settings: Settings,
    topic: str,
    held: Mapping[int, tuple[int, int]],
    needles: Needles,
    found: Search,
) -> None:
    latest: dict[tuple[int, bytes | None], Record | None] = {}
    for record in _records(settings, topic, held):
        key = (record.partition, record.key)
        before = latest.pop(key, None)
        if before is not None:
            place = found.replaced[topic, record.partition]
            place.add(before.offset, before.timestamp_ms)
        latest[key] = record if needles.are_in(record) else None
    for last in latest.values():
        if last is None:
            continue
        if last.value is None:
            found.tombstones[topic, last.partition].add(last.offset, last.timestamp_ms)
        else:
            found.live.append(last)


def _holding(
    settings: Settings, topic: str, held: Mapping[int, tuple[int, int]], needles: Needles
) -> Iterator[Record]:
    return (one for one in _records(settings, topic, held) if needles.are_in(one))


def _records(
    settings: Settings, topic: str, held: Mapping[int, tuple[int, int]]
) -> Iterator[Record]:
    """All of them, those of transactions that failed among them: they lie there too."""
    starts = {number: low for number, (low, high) in held.items() if low < high}
    if starts:
        yield from records_from(settings, topic, starts, committed=False)
