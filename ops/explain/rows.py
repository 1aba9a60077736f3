"""What the database says of a row: its track, who it was, and what touched it since."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from schemas.topics import LIVE
from sightline.identity import calibration_store
from sightline.identity.evidence import Vector
from sightline.people import template_similarity
from sightline.runtime.errors import NotFoundError
from sightline.storage import face_columns
from sightline.storage.db import Connection

Row = dict[str, Any]

_ACCESS = "SELECT * FROM access_logs WHERE id = %s"
_LATEST = "SELECT * FROM access_logs WHERE track_uuid = %s ORDER BY epoch DESC LIMIT 1"
_VISIT = "SELECT * FROM visitor_logs WHERE visitor_log_id = %s"
_TRACK = """
SELECT track_uuid, camera_id, site_id, motion_event_id, first_seen, last_seen, detections,
    global_id, name, score, confidence, pack, face_quality, epoch
FROM person_tracks WHERE track_uuid = %s
"""

# What the row says is the surest of these.
_OF_VISIT = """
SELECT evidence.sighting_id, owner.track_uuid FROM visit_evidence evidence
LEFT JOIN snapshot_owners owner USING (sighting_id)
WHERE visitor_log_id = %s AND evidence.global_id <> 0
ORDER BY confidence_score DESC, evidence.decided_at DESC, sighting_id
"""
_OF_SIGHTING = "SELECT track_uuid FROM snapshot_owners WHERE sighting_id = %s"

_RUN = """
SELECT promotion.run FROM promoted_events event JOIN promotions promotion USING (promotion_id)
WHERE event.event_id = %s
"""

_PROMOTIONS = """
SELECT promotion_id, run, promoted_at, promoted_by, taken_back_at, taken_back_by
FROM promotions promotion LEFT JOIN runs run ON run.name = promotion.run
WHERE EXISTS (SELECT FROM promoted_events event
        WHERE event.promotion_id = promotion.promotion_id AND event.event_id = %(event)s)
    OR taken_back_at IS NOT NULL AND %(camera)s = ANY(run.cameras)
        AND %(at)s BETWEEN run.from_at AND run.to_at
ORDER BY promotion_id
"""

_CORRECTIONS = """
SELECT made_at, kind, details, made_by, correction_id FROM corrections
WHERE details -> 'tracks' ? %(track)s
    OR (details ->> 'source')::bigint = ANY(%(persons)s)
    OR kind IN ('name', 'forget') AND (details ->> 'global_id')::bigint = ANY(%(persons)s)
ORDER BY made_at, correction_id
"""

_EVENT_START = "SELECT started_at FROM motion_events WHERE event_id = %s"

_FACE = """
SELECT face_embedding, face_embedding_sealed, face_track FROM detected_persons
WHERE global_id = %s AND embedding_pack = %s
"""

_CALIBRATION = """
SELECT calibration_id, pack, made_at, in_force FROM calibrations WHERE calibration_id = %s
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row comes from, as the tables say."""

    kind: str
    """What the id is of: access log, visitor log, sighting or track."""
    track_id: str
    run: str
    """The pass over the frames whose row it is."""
    access: Row | None
    """The decision; None for a track that is nobody."""
    visit: Row | None
    track: Row | None

    @property
    def seen(self) -> Row:
        """The decision, or else the track: what both know."""
        return self.access or self.track or {}


def origin(db: Connection, given: UUID, run: str) -> Origin:
    """Find an id: of a row of the logs, a sighting or a track. Raises NotFoundError."""
    access = _one(db, _ACCESS, given)
    visit = None if access else _one(db, _VISIT, given)
    kind = "access log" if access else "visitor log" if visit else "track"
    track = access["track_uuid"] if access else given
    if visit:
        access, track = _of_visit(db, given)
    elif not access:
        owner = _one(db, _OF_SIGHTING, given)
        kind, track = ("sighting", owner["track_uuid"]) if owner else (kind, given)
        access = _one(db, _LATEST, track)
    known = _one(db, _TRACK, track)
    if not access and not known:
        raise NotFoundError(f"no row of the logs, sighting or track has the id {given}")
    event = (access or known or {})["motion_event_id"]
    return Origin(kind, str(track), _run_of(db, event, run), access, visit, known)


def begin(db: Connection, found: Origin) -> datetime | None:
    """A moment that is not after the track's first frame; None where none is known."""
    if found.track:
        first: datetime = found.track["first_seen"]
        return first
    row = _one(db, _EVENT_START, found.seen["motion_event_id"])
    return row["started_at"] if row else None


def corrections(db: Connection, track: str, persons: Iterable[int]) -> list[Row]:
    """What people have said of a track, and of whom it was taken for; the oldest first."""
    return _all(db, _CORRECTIONS, {"track": track, "persons": sorted(set(persons))})


def promotions(db: Connection, found: Origin) -> list[Row]:
    """The promotions that its motion event was a part of."""
    at = found.access["timestamp"] if found.access else found.seen["first_seen"]
    asked = {
        "event": found.seen["motion_event_id"],
        "camera": found.seen["camera_id"],
        "at": at,
    }
    return _all(db, _PROMOTIONS, asked)


def calibration(db: Connection, found: Origin) -> Row | None:
    """The measurement that the threshold followed from."""
    named = found.access and found.access["calibration"]
    if not named:
        return None
    stored = _one(db, _CALIBRATION, named)
    builtin = calibration_store.in_force(db, found.seen["pack"])
    known = builtin if builtin.id == named else None
    row = stored or {"calibration_id": named, "pack": found.seen["pack"]}
    told = {"measured": known.measured, "source": known.source} if known else {}
    return row | {"stored": stored is not None} | told


def looks(db: Connection, found: Origin) -> list[Vector]:
    """The vectors that the person of a row is known by today: their photos', or one face."""
    seen = found.seen
    if found.access and found.access["employee_id"]:
        with db.cursor() as cursor:
            return template_similarity.templates(cursor, found.access["employee_id"], seen["pack"])
    cursor = db.execute(_FACE, (seen["global_id"], seen["pack"]))
    known_as = [
        face_columns.from_columns(cursor, face_columns.of_track(track), face, sealed)
        for face, sealed, track in cursor
    ]
    return [face for face in known_as if face is not None]


def names(db: Connection, keys: Sequence[str]) -> dict[str, str]:
    """The names of enrolled people, by id."""
    rows = _all(db, "SELECT id::text AS id, name FROM employees WHERE id::text = ANY(%s)", (keys,))
    return {row["id"]: row["name"] for row in rows}


def _of_visit(db: Connection, visit: UUID) -> tuple[Row | None, UUID]:
    for row in _all(db, _OF_VISIT, (visit,)):
        access = _one(db, _ACCESS, row["sighting_id"])
        if access:
            return access, access["track_uuid"]
        if row["track_uuid"]:
            return None, row["track_uuid"]
    raise NotFoundError(f"the sighting of the visit {visit} has not been written yet: try again")


def _run_of(db: Connection, event: UUID | None, run: str) -> str:
    promoted = _one(db, _RUN, event) if run == LIVE else None
    return promoted["run"] if promoted else run


def _one(db: Connection, query: str, value: object) -> Row | None:
    rows = _all(db, query, (value,))
    return rows[0] if rows else None


def _all(db: Connection, query: str, values: Any) -> list[Row]:
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()
