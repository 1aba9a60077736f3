"""Search for a person's records in all topics."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from google.protobuf.message import DecodeError, Message

from ops.erasure.id_scanner import IdScanner
from schemas import sightline_pb2 as pb
from schemas.naming import live_name, topic_kind
from schemas.topics import CROP_OUTCOMES, FACES, SIGHTINGS, SNAPSHOTS, TRACKS, all_topics
from sightline.runtime.settings import Settings
from sightline.streaming.admin import admin_client
from sightline.streaming.errors import translated
from sightline.streaming.records import Partition, Record
from sightline.streaming.topic_reader import fetch_watermarks, records_from

_REQUEST_TIMEOUT_SECONDS = 10.0
_FRAMES_KIND = "frames"

_OF_TRACKS: Mapping[str, tuple[type[Message], Callable[[Message], tuple[str, pb.Position]]]] = {
    FACES.name: (pb.FaceEvent, attrgetter("observation.track_id", "observation.frame")),
    SIGHTINGS.name: (pb.Sighting, attrgetter("track_id", "frame")),
    CROP_OUTCOMES.name: (pb.CropOutcome, attrgetter("track_id", "crop")),
    SNAPSHOTS.name: (pb.Snapshot, attrgetter("track_id", "frame")),
}
"""Messages about one track by topic, with the fields of the track's id and of its frame."""


@dataclass(slots=True)
class TopicMatches:
    """Offsets of one partition that hold the person, and the latest record time in ms."""

    offsets: set[int] = field(default_factory=set)
    latest_ms: int = 0

    def add(self, offset: int, at_ms: int) -> None:
        """Add a record."""
        self.offsets.add(offset)
        self.latest_ms = max(self.latest_ms, at_ms)


def _no_matches() -> dict[Partition, TopicMatches]:
    return defaultdict(TopicMatches)


@dataclass(slots=True)
class TopicSearch:
    """Result of a search of all topics."""

    logs: dict[Partition, TopicMatches] = field(default_factory=_no_matches)
    """Records of log-retained topics."""
    replaced: dict[Partition, TopicMatches] = field(default_factory=_no_matches)
    """Records of compacted topics that a later record of their key has replaced."""
    tombstones: dict[Partition, TopicMatches] = field(default_factory=_no_matches)
    """Tombstones whose keys name the person."""
    live: list[Record] = field(default_factory=list)
    """Records of compacted topics that no later record has replaced."""
    ends: dict[Partition, int] = field(default_factory=dict)
    """High watermarks up to which the partitions were searched."""


def existing_topics(settings: Settings, fleets: tuple[str, ...]) -> list[str]:
    """Return the existing topics of the contract, runs included. Raises InfrastructureError."""
    admin = admin_client(settings, "erase")
    with translated():
        existing = set(admin.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics)
    contract_names = {topic.name for topic in all_topics(fleets)}
    return sorted(
        name for name in existing if name in contract_names or live_name(name) in contract_names
    )


def search(
    settings: Settings, scanner: IdScanner, tracks: Iterable[str], fleets: tuple[str, ...]
) -> TopicSearch:
    """Search all topics. Frames are found by the records about what was seen in them.

    Raises InfrastructureError if Kafka fails.
    """
    compacted = {topic.name for topic in all_topics(fleets) if topic.compacted}
    track_ids = set(tracks)
    result = TopicSearch()
    frames: dict[Partition, dict[int, int]] = defaultdict(dict)
    watermarks: dict[str, dict[int, tuple[int, int]]] = {}
    for topic in existing_topics(settings, fleets):
        watermarks[topic] = fetch_watermarks(settings, topic)
        result.ends.update(
            {(topic, partition): end for partition, (_, end) in watermarks[topic].items()}
        )
        if topic in compacted:
            _search_compacted(settings, topic, watermarks[topic], scanner, result)
        elif topic_kind(topic) != _FRAMES_KIND:
            for record in _matching_records(settings, topic, watermarks[topic], scanner):
                result.logs[topic, record.partition].add(record.offset, record.timestamp_ms)
                for frame in frames_in(record, track_ids):
                    frames[frame.topic, frame.partition][frame.offset] = record.timestamp_ms
    for (topic, partition), offsets in frames.items():
        low, high = watermarks.get(topic, {}).get(partition, (0, 0))
        for offset, at_ms in offsets.items():
            if low <= offset < high:
                result.logs[topic, partition].add(offset, at_ms)
    return result


def live_records(
    settings: Settings, topic: str, scanner: IdScanner, *, keys: Iterable[bytes] = ()
) -> list[Record]:
    """Return the person's records in a compacted topic that no later record has replaced.

    Records with one of `keys` are left out.
    """
    result = TopicSearch()
    _search_compacted(settings, topic, fetch_watermarks(settings, topic), scanner, result)
    excluded = set(keys)
    return [record for record in result.live if record.key not in excluded]


def frames_in(record: Record, tracks: set[str]) -> list[pb.Position]:
    """Return the frames in which a record places one of these tracks."""
    kind, value = live_name(record.topic), record.value or b""
    with suppress(DecodeError):
        if kind == TRACKS.name:
            of_frame = pb.FrameTracks.FromString(value)
            is_in_frame = any(track.track_id in tracks for track in of_frame.tracks)
            return [of_frame.frame] if is_in_frame else []
        if kind in _OF_TRACKS:
            message, track_and_frame = _OF_TRACKS[kind]
            track_id, frame = track_and_frame(message.FromString(value))
            return [frame] if track_id in tracks else []
    return []


def _search_compacted(
    settings: Settings,
    topic: str,
    watermarks: Mapping[int, tuple[int, int]],
    scanner: IdScanner,
    result: TopicSearch,
) -> None:
    latest: dict[tuple[int, bytes | None], Record | None] = {}
    for record in _records(settings, topic, watermarks):
        key = (record.partition, record.key)
        previous = latest.pop(key, None)
        if previous is not None:
            matches = result.replaced[topic, record.partition]
            matches.add(previous.offset, previous.timestamp_ms)
        latest[key] = record if scanner.matches(record) else None
    for last in latest.values():
        if last is None:
            continue
        if last.value is None:
            result.tombstones[topic, last.partition].add(last.offset, last.timestamp_ms)
        else:
            result.live.append(last)


def _matching_records(
    settings: Settings, topic: str, watermarks: Mapping[int, tuple[int, int]], scanner: IdScanner
) -> Iterator[Record]:
    return (record for record in _records(settings, topic, watermarks) if scanner.matches(record))


def _records(
    settings: Settings, topic: str, watermarks: Mapping[int, tuple[int, int]]
) -> Iterator[Record]:
    """Yield all records, those of aborted transactions included."""
    starts = {partition: low for partition, (low, high) in watermarks.items() if low < high}
    if starts:
        yield from records_from(settings, topic, starts, committed=False)
