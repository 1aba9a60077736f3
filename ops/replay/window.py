"""Which frames a window of time means: those of whole motion events, and where they lie."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import sql
from psycopg.rows import class_row

from schemas import sightline_pb2 as pb
from schemas.topics import TRACKS, frames
from sightline.runtime.clock import to_us
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, run_schema
from sightline.storage.runs import Cursor, Spans
from sightline.streaming.topic_reader import at_time, records_from, retained


@dataclass(frozen=True, slots=True)
class Event:
    """A motion event that reaches into the window."""

    event_id: str
    camera_id: str
    fleet: str
    started_at: datetime
    ended_at: datetime
    is_over: bool
    """It has ended, and live has seen all of its frames."""
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

# What live heard of the events is known; their frames are counted anew. Of one without any frame
# nothing more is heard.
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
) -> list[Event]:
    """The motion events that reach into a window; no cameras: of all."""
    asked = {"since": since, "until": until, "cameras": list(cameras) or None}
    with db.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(_EVENTS, asked).fetchall()


def prefill(cursor: Cursor, run: str, events: Iterable[Event]) -> None:
    """Tell a run's tables of its events."""
    table = sql.Identifier(run_schema(run), "motion_events")
    cursor.execute(sql.SQL(_PREFILL).format(table), ([one.event_id for one in events],))


@dataclass(slots=True)
class _Place:
    topic: str
    partition: int
    first: int
    last: int


@dataclass(slots=True)
class Found:
    """Where the frames of events lie, as live's vision has told."""

    spans: Spans = field(default_factory=dict)
    frames: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Frames that live did not look at, by camera."""
    gone: set[str] = field(default_factory=set)
    """Events of which Kafka holds no frame any more."""
    cut: set[str] = field(default_factory=set)
    """Events of which Kafka does not hold the first frames any more."""


def locate(settings: Settings, events: Sequence[Event]) -> Found:
    """Find the frames of events in Kafka. Raises InfrastructureError."""
    found = Found()
    places: dict[tuple[str, str, int], _Place] = {}
    known = {one.event_id for one in events}
    since_ms = min(to_us(one.started_at) for one in events) // 1000
    starts = at_time(settings, TRACKS.name, since_ms)
    for record in records_from(settings, TRACKS.name, starts):
        try:
            seen = record.decode(pb.FrameTracks)
        except InvalidRecord:
            continue  # a dead letter of the sinks
        if seen.motion_event_id in known:
            _note(found, places, seen)
    held = {
        topic: retained(settings, topic)
        for topic in {place.topic for place in places.values()}
        | {frames(one.fleet).name for one in events}
    }
    for (event, topic, number), place in places.items():
        low = held[topic].get(number, (0, 0))[0]
        if place.last < low:
            found.gone.add(event)
            continue
        if place.first < low:
            found.cut.add(event)
        _widen(found.spans, topic, number, max(place.first, low), place.last + 1)
    told = {event for event, _topic, _number in places}
    for fleet in {one.fleet for one in events if one.has_frames and one.event_id not in told}:
        _anywhere(settings, found.spans, frames(fleet).name, since_ms, held)
    return found


def _note(found: Found, places: dict[tuple[str, str, int], _Place], seen: pb.FrameTracks) -> None:
    at = seen.frame
    key = (seen.motion_event_id, at.topic, at.partition)
    place = places.setdefault(key, _Place(at.topic, at.partition, at.offset, at.offset))
    place.first, place.last = min(place.first, at.offset), max(place.last, at.offset)
    found.frames += 1
    found.skipped[seen.camera_id] += seen.skipped


def _anywhere(
    settings: Settings,
    spans: Spans,
    topic: str,
    since_ms: int,
    held: Mapping[str, Mapping[int, tuple[int, int]]],
) -> None:
    """Where vision's word is gone: from the window's first moment on to the end."""
    for number, start in at_time(settings, topic, since_ms).items():
        end = held[topic][number][1]
        if start < end:
            _widen(spans, topic, number, start, end)


def _widen(spans: Spans, topic: str, number: int, start: int, end: int) -> None:
    partitions = spans.setdefault(topic, {})
    first, last = partitions.get(number, (start, end))
    partitions[number] = min(first, start), max(last, end)
