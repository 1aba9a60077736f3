"""Frames of a window of time: those of whole motion events, with their offsets."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from schemas import sightline_pb2 as pb
from schemas.naming import run_schema
from schemas.topics import TRACKS, frames
from sightline.runtime.clock import to_us
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor
from sightline.storage.runs import Spans
from sightline.streaming.topic_reader import fetch_offsets_at_time, fetch_watermarks, records_from


@dataclass(frozen=True, slots=True)
class WindowEvent:
    """Motion event that reaches into the window."""

    event_id: str
    camera_id: str
    fleet: str
    started_at: datetime
    ended_at: datetime
    is_over: bool
    """The event has ended, and the live run has processed all of its frames."""
    has_frames: bool


_EVENTS = """
SELECT event.event_id::text, event.camera_id, coalesce(camera.fleet, 'default') AS fleet,
    event.started_at, coalesce(event.ended_at, event.last_frame_at, event.started_at) AS ended_at,
    event.processed AS is_over, event.frames_seen > 0 AS has_frames
FROM public.motion_events event LEFT JOIN public.cameras camera USING (camera_id)
WHERE event.started_at < %(until)s
    AND coalesce(event.ended_at, event.last_frame_at, event.started_at) >= %(since)s
    AND (%(cameras)s::text[] IS NULL OR event.camera_id = ANY(%(cameras)s))
ORDER BY event.started_at, event.event_id
"""

# Begin and end of the events are copied, and their frames are counted anew. An event without any
# frame stays as it is.
_PREFILL = """
INSERT INTO {} (event_id, camera_id, started_at, ended_at, end_reported, first_sequence,
    last_sequence, frames, all_seen, processed, created_at)
SELECT event_id, camera_id, started_at, ended_at, end_reported, first_sequence, last_sequence,
    frames, all_seen AND frames_seen = 0, processed AND frames_seen = 0, created_at
FROM public.motion_events WHERE event_id = ANY(%s::uuid[])
ON CONFLICT DO NOTHING
"""


def events_of(
    db: Connection, since: datetime, until: datetime, cameras: Sequence[str]
) -> list[WindowEvent]:
    """Return the motion events that reach into a window; without cameras those of all."""
    parameters = {"since": since, "until": until, "cameras": list(cameras) or None}
    with db.cursor(row_factory=class_row(WindowEvent)) as cursor:
        return cursor.execute(_EVENTS, parameters).fetchall()


def prefill(cursor: Cursor, run: str, events: Iterable[WindowEvent]) -> None:
    """Copy the motion events into the run's tables."""
    table = sql.Identifier(run_schema(run), "motion_events")
    cursor.execute(sql.SQL(_PREFILL).format(table), ([event.event_id for event in events],))


@dataclass(slots=True)
class _Extent:
    topic: str
    partition: int
    first: int
    last: int


@dataclass(slots=True)
class LocatedFrames:
    """Offsets of the frames of events, as the live run's topic `tracks` names them."""

    spans: Spans = field(default_factory=dict)
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Frames that the live run skipped, by camera."""
    deleted_events: set[str] = field(default_factory=set)
    """Ids of events of which Kafka holds no frame any more."""
    truncated_events: set[str] = field(default_factory=set)
    """Ids of events of which Kafka does not hold the first frames any more."""


def locate(settings: Settings, events: Sequence[WindowEvent]) -> LocatedFrames:
    """Find the frames of events in Kafka. Raises InfrastructureError."""
    located = LocatedFrames()
    extents: dict[tuple[str, str, int], _Extent] = {}
    event_ids = {event.event_id for event in events}
    since_ms = min(to_us(event.started_at) for event in events) // 1000
    starts = fetch_offsets_at_time(settings, TRACKS.name, since_ms)
    for record in records_from(settings, TRACKS.name, starts):
        try:
            tracks = record.decode(pb.FrameTracks)
        except PoisonRecord:
            continue  # the sinks have made a dead letter of it
        if tracks.motion_event_id in event_ids:
            _note_frame(located, extents, tracks)
    watermarks = {
        topic: fetch_watermarks(settings, topic)
        for topic in {extent.topic for extent in extents.values()}
        | {frames(event.fleet).name for event in events}
    }
    for (event_id, topic, partition), extent in extents.items():
        low = watermarks[topic].get(partition, (0, 0))[0]
        if extent.last < low:
            located.deleted_events.add(event_id)
            continue
        if extent.first < low:
            located.truncated_events.add(event_id)
        _widen(located.spans, topic, partition, max(extent.first, low), extent.last + 1)
    with_tracks = {event_id for event_id, _topic, _number in extents}
    for fleet in {
        event.fleet for event in events if event.has_frames and event.event_id not in with_tracks
    }:
        _add_since(settings, located.spans, frames(fleet).name, since_ms, watermarks)
    return located


def _note_frame(
    located: LocatedFrames, extents: dict[tuple[str, str, int], _Extent], tracks: pb.FrameTracks
) -> None:
    frame = tracks.frame
    key = (tracks.motion_event_id, frame.topic, frame.partition)
    extent = extents.setdefault(
        key, _Extent(frame.topic, frame.partition, frame.offset, frame.offset)
    )
    extent.first, extent.last = min(extent.first, frame.offset), max(extent.last, frame.offset)
    located.frames += 1
    located.skipped[tracks.camera_id] += tracks.skipped


def _add_since(
    settings: Settings,
    spans: Spans,
    topic: str,
    since_ms: int,
    watermarks: Mapping[str, Mapping[int, tuple[int, int]]],
) -> None:
    """Add all frames since the window's begin, for events whose tracks Kafka has deleted."""
    for partition, start in fetch_offsets_at_time(settings, topic, since_ms).items():
        end = watermarks[topic][partition][1]
        if start < end:
            _widen(spans, topic, partition, start, end)


def _widen(spans: Spans, topic: str, partition: int, start: int, end: int) -> None:
    partitions = spans.setdefault(topic, {})
    first, last = partitions.get(partition, (start, end))
    partitions[partition] = min(first, start), max(last, end)
