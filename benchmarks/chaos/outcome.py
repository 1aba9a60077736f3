"""Outcome of a run: all rows, objects and records, read when the services are idle."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from psycopg import sql

from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.naming import PHOTOS_PREFIX
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.storage.objects import open_store
from sightline.streaming.records import Record
from sightline.streaming.topic_reader import read_topic

_EXCLUDED_TABLES = {
    "alembic_version",
    "cameras", "camera_clocks", "outbox", "sink_offsets", "stale_objects", "runs", "promotions",
    "api_keys", "audit",
}  # fmt: skip
"""Tables about the installation, not about presence: cameras have another pace, and in topics with
transactions offsets differ by their markers."""

_TIMES_OF_WRITING = {
    "created_at", "updated_at", "recorded_at", "arrived_at", "stale_at", "status_at", "kept_since",
    "status_detail", "enrolled_at", "uri", "made_at", "revision", "given_up_at", "taken_at",
}  # fmt: skip

_OWN_KEYS = {"detected_persons": ("global_id",)}
"""Keys of tables whose primary key comes from a sequence."""

_WRITTEN_ONCE = (topics.frames(), topics.TRACKS, topics.FACES, topics.SNAPSHOTS)

_DIGITS = 6
"""Significant digits: the last bits of sums of sizes depend on the batches of frames."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Contents by part and key, one for each occurrence."""

    parts: dict[str, dict[Key, list[str]]] = field(default_factory=dict)


def read_outcome(settings: Settings) -> Outcome:
    """Read rows, then objects, then the topics that are written exactly once."""
    parts: dict[str, dict[Key, list[str]]] = {}
    positions = FramePositions(settings)
    with connect(settings) as db:
        for table in _tables(db):
            parts[table] = _grouped(_rows(db, table, positions))
    parts["objects"] = _grouped(_objects(settings))
    for topic in _WRITTEN_ONCE:
        parts[f"topic {topic.name}"] = _grouped(
            _contents(record, positions) for record in read_topic(settings, topic)
        )
    letters = read_topic(settings, topics.DEAD_LETTERS)
    parts["topic dead-letters"] = _grouped((_letter(record), "") for record in letters)
    return Outcome(parts)


class FramePositions:
    """Frames by partition and offset.

    A producer's restart leaves gaps in the offsets, so the frames at the offsets are compared.
    """

    def __init__(self, settings: Settings) -> None:
        self._frames = {
            (record.partition, record.offset): record.decode(pb.Frame)
            for record in read_topic(settings, topics.frames())
        }

    def at(self, partition: int, offset: int) -> str:
        """Return the frame's camera and capture time, or "nothing" if there is no frame."""
        frame = self._frames.get((partition, offset))
        return "nothing" if frame is None else f"{frame.camera_id}/{frame.captured_at_us}"


def _grouped(items: Iterator[tuple[Key, str]] | Any) -> dict[Key, list[str]]:
    grouped: dict[Key, list[str]] = defaultdict(list)
    for key, content in items:
        grouped[key].append(content)
    return dict(grouped)


def _tables(db: Connection) -> list[str]:
    rows = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [str(name) for (name,) in rows if name not in _EXCLUDED_TABLES]


def _rows(db: Connection, table: str, positions: FramePositions) -> Iterator[tuple[Key, str]]:
    keys = _OWN_KEYS.get(table) or _primary_key(db, table)
    query = sql.SQL("SELECT to_jsonb(one) FROM {} AS one").format(sql.Identifier(table))
    sequence = {"id"} if table in _OWN_KEYS else set()
    for (row,) in db.execute(query):
        key = tuple(str(row[name]) for name in keys)
        if "frame_offset" in row:
            row["frame_offset"] = positions.at(row["frame_partition"], row["frame_offset"])
        content = {
            name: _rounded(value)
            for name, value in row.items()
            if name not in _TIMES_OF_WRITING | sequence
        }
        yield key, json.dumps(content, sort_keys=True)


def _primary_key(db: Connection, table: str) -> tuple[str, ...]:
    rows = db.execute(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indisprimary AND i.indrelid = %s::regclass ORDER BY a.attname",
        (table,),
    )
    return tuple(str(name) for (name,) in rows)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _objects(settings: Settings) -> Iterator[tuple[Key, str]]:
    store = open_store(settings)
    for key in store.keys():  # noqa: SIM118 - not a dictionary
        if not key.startswith(PHOTOS_PREFIX):
            yield (key,), _digest(store.get(key))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=12).hexdigest()


def _contents(record: Record, positions: FramePositions) -> tuple[Key, str]:
    """Return a record's key and contents."""
    key, message = _message(record)
    position = "" if isinstance(message, pb.Frame) else _position(message, positions)
    return key, _digest(message.SerializeToString(deterministic=True)) + position


def _position(
    message: pb.FrameTracks | pb.Snapshot | pb.FaceEvent, positions: FramePositions
) -> str:
    """Return the frame that a message refers to, and remove the offset from the message."""
    inner: pb.FrameTracks | pb.Snapshot | pb.FaceObservation | pb.TrackEnded
    if isinstance(message, pb.FaceEvent):
        inner = message.track_ended if message.HasField("track_ended") else message.observation
    else:
        inner = message
    if not inner.HasField("frame"):
        return ""  # the end of a track without a picture of its body
    frame = positions.at(inner.frame.partition, inner.frame.offset)
    inner.frame.offset = 0
    return frame


def _message(record: Record) -> tuple[Key, pb.Frame | pb.FrameTracks | pb.Snapshot | pb.FaceEvent]:
    if record.topic == topics.FACES.name:
        event = record.decode(pb.FaceEvent)
        if event.HasField("observation"):
            return ("observation", event.observation.observation_id), event
        return ("end", event.track_ended.track_id), event
    if record.topic == topics.SNAPSHOTS.name:
        snapshot = record.decode(pb.Snapshot)
        return (snapshot.track_id, str(snapshot.epoch), str(snapshot.captured_at_us)), snapshot
    if record.topic == topics.TRACKS.name:
        tracks = record.decode(pb.FrameTracks)
        return (tracks.camera_id, str(tracks.sequence), str(tracks.captured_at_us)), tracks
    frame = record.decode(pb.Frame)
    return (frame.camera_id, str(frame.sequence), str(frame.captured_at_us)), frame


def _letter(record: Record) -> Key:
    letter = record.decode(pb.DeadLetter)
    return letter.service, letter.reason, letter.detail
