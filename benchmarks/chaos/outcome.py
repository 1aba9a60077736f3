"""What a run has left: every row, every object, every record. Read when all is quiet."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from psycopg import sql

from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.storage.objects import open_store
from sightline.streaming.read import read_all
from sightline.streaming.records import Record

_LEFT_OUT = {
    "alembic_version",
    "cameras", "outbox", "sink_offsets", "stale_objects", "runs", "promotions", "api_keys", "audit",
}  # fmt: skip
"""What is about the installation, not about who was where: cameras have another pace, and in topics
with transactions offsets differ by their markers."""

_TIMES_OF_WRITING = {
    "created_at", "updated_at", "recorded_at", "arrived_at", "stale_at", "status_at", "kept_since",
    "status_detail", "enrolled_at", "uri", "made_at", "revision", "given_up_at", "taken_at",
}  # fmt: skip

_PHOTOS = "enrollment_photos/"

_OWN_KEYS = {"detected_persons": ("global_id",)}
"""Where the primary key is a number that a sequence gave."""

_WRITTEN_ONCE = (topics.frames(), topics.TRACKS, topics.FACES, topics.SNAPSHOTS)

_DIGITS = 6
"""Sums of sizes depend in their last bits on how frames were spread over batches."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """By part and key: how often it is there, and what it says."""

    parts: dict[str, dict[Key, list[str]]] = field(default_factory=dict)


def read_outcome(settings: Settings) -> Outcome:
    """Read it all; rows first, then objects, then the topics that are written exactly once."""
    parts: dict[str, dict[Key, list[str]]] = {}
    lies = Lies(settings)
    with connect(settings) as db:
        for table in _tables(db):
            parts[table] = _grouped(_rows(db, table, lies))
    parts["objects"] = _grouped(_objects(settings))
    for topic in _WRITTEN_ONCE:
        parts[f"topic {topic.name}"] = _grouped(
            _told(record, lies) for record in read_all(settings, topic)
        )
    letters = read_all(settings, topics.DEAD_LETTERS)
    parts["topic dead-letters"] = _grouped((_letter(record), "") for record in letters)
    return Outcome(parts)


class Lies:
    """Which frame lies at a position. Offsets count what a producer's restart leaves between the
    frames too, so what is compared is the frame that they lead to."""

    def __init__(self, settings: Settings) -> None:
        self._frames = {
            (record.partition, record.offset): record.decode(pb.Frame)
            for record in read_all(settings, topics.frames())
        }

    def at(self, partition: int, offset: int) -> str:
        """The frame's camera and capture time; "nothing" where none lies there."""
        frame = self._frames.get((partition, offset))
        return "nothing" if frame is None else f"{frame.camera_id}/{frame.captured_at_us}"


def _grouped(found: Iterator[tuple[Key, str]] | Any) -> dict[Key, list[str]]:
    grouped: dict[Key, list[str]] = defaultdict(list)
    for key, said in found:
        grouped[key].append(said)
    return dict(grouped)


def _tables(db: Connection) -> list[str]:
    rows = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [str(name) for (name,) in rows if name not in _LEFT_OUT]


def _rows(db: Connection, table: str, lies: Lies) -> Iterator[tuple[Key, str]]:
    keys = _OWN_KEYS.get(table) or _primary_key(db, table)
    query = sql.SQL("SELECT to_jsonb(one) FROM {} AS one").format(sql.Identifier(table))
    sequence = {"id"} if table in _OWN_KEYS else set()
    for (row,) in db.execute(query):
        key = tuple(str(row[name]) for name in keys)
        if "frame_offset" in row:
            row["frame_offset"] = lies.at(row["frame_partition"], row["frame_offset"])
        said = {
            name: _rounded(value)
            for name, value in row.items()
            if name not in _TIMES_OF_WRITING | sequence
        }
        yield key, json.dumps(said, sort_keys=True)


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
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return value


def _objects(settings: Settings) -> Iterator[tuple[Key, str]]:
    store = open_store(settings)
    for key in store.keys():  # noqa: SIM118 - not a dictionary
        if not key.startswith(_PHOTOS):
            yield (key,), _digest(store.get(key))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=12).hexdigest()


def _told(record: Record, lies: Lies) -> tuple[Key, str]:
    """A record's key, and what it says."""
    key, message = _message(record)
    position = "" if isinstance(message, pb.Frame) else _position(message, lies)
    return key, _digest(message.SerializeToString(deterministic=True)) + position


def _position(message: pb.FrameTracks | pb.Snapshot | pb.FaceEvent, lies: Lies) -> str:
    """The frame that a message names, which is taken out of it."""
    inner = message.observation if isinstance(message, pb.FaceEvent) else message
    if isinstance(message, pb.FaceEvent) and message.HasField("track_ended"):
        return ""
    lie = lies.at(inner.frame.partition, inner.frame.offset)
    inner.frame.offset = 0
    return lie


def _message(record: Record) -> tuple[Key, pb.Frame | pb.FrameTracks | pb.Snapshot | pb.FaceEvent]:
    if record.topic == topics.FACES.name:
        event = record.decode(pb.FaceEvent)
        if event.HasField("observation"):
            return ("shot", event.observation.observation_id), event
        return ("end", event.track_ended.track_id), event
    if record.topic == topics.SNAPSHOTS.name:
        shot = record.decode(pb.Snapshot)
        return (shot.track_id, str(shot.epoch), str(shot.captured_at_us)), shot
    if record.topic == topics.TRACKS.name:
        tracks = record.decode(pb.FrameTracks)
        return (tracks.camera_id, str(tracks.sequence), str(tracks.captured_at_us)), tracks
    frame = record.decode(pb.Frame)
    return (frame.camera_id, str(frame.sequence), str(frame.captured_at_us)), frame


def _letter(record: Record) -> Key:
    letter = record.decode(pb.DeadLetter)
    return letter.service, letter.reason, letter.detail
