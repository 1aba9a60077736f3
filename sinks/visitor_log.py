"""Visitor log: one row for each person and motion event, with the best confidence in it.

A track without an identity is a visit of its own.

Three topics report an event, in no order among each other: its start and end, its frames, and the
people in it. Their records are stored as they come, and the rows are computed from the stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schemas import sightline_pb2 as pb
from schemas.ids import visitor_log_id
from schemas.topics import MOTION_EVENTS, SIGHTINGS, TRACKS
from sightline.people import visit_rows
from sightline.people.identity_corrections import UNKNOWN_NAME
from sightline.runtime import metrics
from sightline.runtime.clock import to_datetime
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage.db import Cursor
from sinks import sighting_rules as rules
from sinks.promotion_router import with_promotions
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import RowWriter
from sinks.runtime.sink import DecodedRecord

_EVENT = """
INSERT INTO motion_events AS event (
    event_id, camera_id, started_at, ended_at, end_reported, first_sequence, last_sequence, frames)
VALUES (%(event_id)s, %(camera_id)s, %(started_at)s, %(ended_at)s, %(ended)s, %(first)s, %(last)s,
    %(frames)s)
ON CONFLICT (event_id) DO UPDATE SET
    started_at = excluded.started_at,
    ended_at = CASE WHEN excluded.end_reported THEN excluded.ended_at ELSE event.ended_at END,
    end_reported = event.end_reported OR excluded.end_reported,
    first_sequence = excluded.first_sequence,
    last_sequence = coalesce(excluded.last_sequence, event.last_sequence),
    frames = coalesce(excluded.frames, event.frames)
"""

_FRAMES = """
INSERT INTO motion_events AS event (event_id, camera_id, frames_seen, last_frame_at, all_seen)
VALUES (%(event_id)s, %(camera_id)s, %(frames)s, %(last_frame_at)s, %(all_seen)s)
ON CONFLICT (event_id) DO UPDATE SET
    frames_seen = event.frames_seen + excluded.frames_seen,
    last_frame_at = greatest(event.last_frame_at, excluded.last_frame_at),
    all_seen = event.all_seen OR excluded.all_seen
"""

# A camera has one event at a time. An event whose end was never reported has ended with its last
# frame once a later one has started, and has no frame to come once a later one has frames.
_CLOSE = """
WITH closed AS (
    SELECT event.event_id,
        event.all_seen OR coalesce(event.frames = 0, false) OR EXISTS (
            SELECT FROM motion_events later
            WHERE later.camera_id = event.camera_id AND later.event_id <> event.event_id
                AND later.last_frame_at > coalesce(event.last_frame_at, event.started_at)
        ) AS all_seen,
        CASE WHEN event.end_reported THEN event.ended_at WHEN EXISTS (
            SELECT FROM motion_events later
            WHERE later.camera_id = event.camera_id AND later.started_at > event.started_at
        ) THEN coalesce(event.last_frame_at, event.started_at) END AS ended_at
    FROM motion_events event
    WHERE event.camera_id = ANY(%s) AND NOT event.processed
)
UPDATE motion_events event
SET all_seen = closed.all_seen, ended_at = closed.ended_at,
    processed = closed.all_seen AND closed.ended_at IS NOT NULL
FROM closed
WHERE event.event_id = closed.event_id AND (closed.all_seen OR closed.ended_at IS NOT NULL)
"""

_EVIDENCE = """
INSERT INTO visit_evidence AS evidence (
    sighting_id, motion_event_id, visitor_log_id, global_id, employee_id, persons_name,
    confidence_score, first_seen, decided_at, decision)
VALUES (%(sighting_id)s, %(event_id)s, %(visitor_log_id)s, %(global_id)s, %(employee_id)s,
    %(name)s, %(confidence)s, %(first_seen)s, %(decided_at)s, %(decision)s)
ON CONFLICT (sighting_id) DO UPDATE SET
    (motion_event_id, visitor_log_id, global_id, employee_id, persons_name, confidence_score,
     decided_at, decision) =
    (excluded.motion_event_id, excluded.visitor_log_id, excluded.global_id, excluded.employee_id,
     excluded.persons_name,
     -- The end of the track may have come before, with a higher confidence in the same person.
     CASE WHEN (evidence.global_id, evidence.decided_at) = (excluded.global_id, excluded.decided_at)
        THEN greatest(evidence.confidence_score, excluded.confidence_score)
        ELSE excluded.confidence_score END,
     excluded.decided_at, excluded.decision)
WHERE excluded.decision > 1 -- the end of a track repeats its identity
    AND (evidence.decided_at, evidence.decision) <= (excluded.decided_at, excluded.decision)
"""

# The end of a track repeats its identity by all of its observations: confidence may be higher.
_RAISE_CONFIDENCE = """
UPDATE visit_evidence SET confidence_score = %(confidence)s
WHERE sighting_id = %(sighting_id)s AND global_id = %(global_id)s
    AND confidence_score < %(confidence)s
"""


class VisitorLog(RowWriter):
    """Writes `motion_events` and `visitor_logs`."""

    name = "visitor-log"

    def __init__(self, settings: Settings) -> None:
        # The motion events of a run are in its tables from the start.
        events = (MOTION_EVENTS, pb.MotionEvent)
        super().__init__(settings, (SIGHTINGS, pb.Sighting), events, (TRACKS, pb.FrameTracks))

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        """Store the messages of a batch, and compute the rows of their events."""
        reported = rules.new_sightings(batch)
        sightings = rules.with_corrections(cursor, rules.decisions_in_force(reported))
        is_end = pb.Sighting.ENDED
        ended = [sight for sight in reported if sight.status == is_end and sight.global_id]
        ends = rules.with_corrections(cursor, ended)
        events = rules.messages(batch, pb.MotionEvent)
        frames = frames_by_event(rules.messages(batch, pb.FrameTracks))
        touched = {
            *(sighting.camera_id for sighting in sightings),
            *(event.camera_id for event in events),
            *(added.camera_id for added in frames),
        }
        if not touched:
            return
        rules.entry_points(cursor, touched)
        # An event has one camera. Its topics may be read by several workers.
        rules.lock(cursor, self.name, touched)
        cursor.executemany(_EVENT, [_event_row(event) for event in events])
        cursor.executemany(_FRAMES, [added.row() for added in frames])
        cursor.executemany(_EVIDENCE, [_evidence_row(sighting) for sighting in sightings])
        cursor.executemany(_RAISE_CONFIDENCE, [_evidence_row(sighting) for sighting in ends])
        if events or frames:
            cursor.execute(_CLOSE, (list(touched),))
        visited = {sighting.motion_event_id for sighting in [*sightings, *ends]}
        visited |= {event.event_id for event in events}
        self._visits(cursor, sorted(visited))

    def _visits(self, cursor: Cursor, events: list[str]) -> None:
        written = visit_rows.compute(cursor, events)
        metrics.ROWS.labels(self.name, "visitor_logs").inc(written)


@dataclass(slots=True)
class EventFrames:
    """Frames of one event within a batch."""

    event_id: str
    camera_id: str
    frames: int = 0
    last_frame_us: int = 0
    all_seen: bool = False

    def row(self) -> dict[str, Any]:
        """Return the values that are added to the event's row."""
        return asdict(self) | {"last_frame_at": to_datetime(self.last_frame_us)}


def frames_by_event(frames: Iterable[pb.FrameTracks]) -> list[EventFrames]:
    """Return the frames of a batch by their events; a repeated frame was counted before."""
    events: dict[str, EventFrames] = {}
    for frame in frames:
        added = events.get(frame.motion_event_id)
        if added is None:
            added = EventFrames(frame.motion_event_id, frame.camera_id)
            events[frame.motion_event_id] = added
        added.frames += not frame.again
        added.last_frame_us = max(added.last_frame_us, frame.captured_at_us)
        added.all_seen |= frame.last_in_event
    return list(events.values())


def _event_row(event: pb.MotionEvent) -> dict[str, Any]:
    ended = event.kind == pb.MotionEvent.ENDED
    return {
        "event_id": event.event_id,
        "camera_id": event.camera_id,
        "started_at": to_datetime(event.started_at_us),
        "ended_at": to_datetime(event.at_us) if ended else None,
        "ended": ended,
        "first": event.first_sequence,
        "last": event.last_sequence if ended else None,
        "frames": event.frames if ended else None,
    }


def _evidence_row(sighting: pb.Sighting) -> dict[str, Any]:
    person = rules.person_of(sighting)
    return {
        "sighting_id": sighting.sighting_id,
        "event_id": sighting.motion_event_id,
        "visitor_log_id": visitor_log_id(
            sighting.motion_event_id, sighting.track_id if person is None else person
        ),
        "global_id": person,
        "employee_id": sighting.person_id or None,
        "name": sighting.name or UNKNOWN_NAME,
        "confidence": sighting.confidence,
        "first_seen": to_datetime(sighting.first_seen_us) if sighting.first_seen_us else None,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rules.rank(sighting),
    }


def run(settings: Settings) -> None:
    """Run the service until a stop is requested."""
    stop = start_service(VisitorLog.name, settings)
    SinkLoop(with_promotions(VisitorLog(settings), settings), settings).run(stop)
