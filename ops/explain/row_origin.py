"""Database rows of a track: its decision, visit, corrections and promotions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from schemas.naming import track_context
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

# The row of a visit names the most confident of these.
_OF_VISIT = """
SELECT evidence.sighting_id, owner.track_uuid FROM visit_evidence evidence
LEFT JOIN snapshot_owners owner USING (sighting_id)
WHERE visitor_log_id = %s AND evidence.global_id IS DISTINCT FROM 0
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
    """Origin of a row: the track, its run, and their rows."""

    kind: str
    """Kind of the id: access log, visitor log, sighting or track."""
    track_id: str
    run: str
    """Run that the row belongs to."""
    access: Row | None
    """Row of the decision; None for a track without identity."""
    visit: Row | None
    track: Row | None

    @property
    def primary_row(self) -> Row:
        """Row of the decision, else of the track: the columns that both have."""
        return self.access or self.track or {}


def origin(db: Connection, row_id: UUID, run: str) -> Origin:
    """Return the origin of a row id, sighting id or track id. Raises NotFoundError."""
    access = _fetch_one(db, _ACCESS, row_id)
    visit = None if access else _fetch_one(db, _VISIT, row_id)
    kind = "access log" if access else "visitor log" if visit else "track"
    track_id = access["track_uuid"] if access else row_id
    if visit:
        access, track_id = _of_visit(db, row_id)
    elif not access:
        owner = _fetch_one(db, _OF_SIGHTING, row_id)
        kind, track_id = ("sighting", owner["track_uuid"]) if owner else (kind, row_id)
        access = _fetch_one(db, _LATEST, track_id)
    track_row = _fetch_one(db, _TRACK, track_id)
    if not access and not track_row:
        raise NotFoundError(f"no row of the logs, sighting or track has the id {row_id}")
    event = (access or track_row or {})["motion_event_id"]
    return Origin(kind, str(track_id), _run_of(db, event, run), access, visit, track_row)


def earliest_moment(db: Connection, source: Origin) -> datetime | None:
    """Return a moment that is not after the track's first frame; None if none is known."""
    if source.track:
        first_seen: datetime = source.track["first_seen"]
        return first_seen
    row = _fetch_one(db, _EVENT_START, source.primary_row["motion_event_id"])
    return row["started_at"] if row else None


def corrections(db: Connection, track: str, persons: Iterable[int]) -> list[Row]:
    """Return the corrections of a track and of its persons, the oldest first."""
    return _fetch_all(db, _CORRECTIONS, {"track": track, "persons": sorted(set(persons))})


def promotions(db: Connection, source: Origin) -> list[Row]:
    """Return the promotions that included the motion event."""
    at = source.access["timestamp"] if source.access else source.primary_row["first_seen"]
    parameters = {
        "event": source.primary_row["motion_event_id"],
        "camera": source.primary_row["camera_id"],
        "at": at,
    }
    return _fetch_all(db, _PROMOTIONS, parameters)


def calibration(db: Connection, source: Origin) -> Row | None:
    """Return the calibration of the decision's threshold."""
    calibration_id = source.access and source.access["calibration"]
    if not calibration_id:
        return None
    stored = _fetch_one(db, _CALIBRATION, calibration_id)
    builtin = calibration_store.calibration_in_force(db, source.primary_row["pack"])
    in_force = builtin if builtin.id == calibration_id else None
    row = stored or {"calibration_id": calibration_id, "pack": source.primary_row["pack"]}
    details = {"measured": in_force.measured, "source": in_force.source} if in_force else {}
    return row | {"stored": stored is not None} | details


def templates_of_today(db: Connection, source: Origin) -> list[Vector]:
    """Return today's templates of the row's person: those of photos, or one face of a track."""
    row = source.primary_row
    if source.access and source.access["employee_id"]:
        with db.cursor() as cursor:
            return template_similarity.templates(cursor, source.access["employee_id"], row["pack"])
    cursor = db.execute(_FACE, (row["global_id"], row["pack"]))
    vectors = [
        face_columns.from_columns(cursor, track_context(track), face, encrypted)
        for face, encrypted, track in cursor
    ]
    return [face for face in vectors if face is not None]


def names(db: Connection, keys: Sequence[str]) -> dict[str, str]:
    """Return the names of employees by id."""
    query = "SELECT id::text, name FROM employees WHERE id::text = ANY(%s)"
    return dict(db.execute(query, (keys,)).fetchall())


def _of_visit(db: Connection, visit: UUID) -> tuple[Row | None, UUID]:
    for row in _fetch_all(db, _OF_VISIT, (visit,)):
        access = _fetch_one(db, _ACCESS, row["sighting_id"])
        if access:
            return access, access["track_uuid"]
        if row["track_uuid"]:
            return None, row["track_uuid"]
    raise NotFoundError(f"the sighting of the visit {visit} has not been written yet: try again")


def _run_of(db: Connection, event: UUID | None, run: str) -> str:
    promoted = _fetch_one(db, _RUN, event) if run == LIVE else None
    return promoted["run"] if promoted else run


def _fetch_one(db: Connection, query: str, value: object) -> Row | None:
    rows = _fetch_all(db, query, (value,))
    return rows[0] if rows else None


def _fetch_all(db: Connection, query: str, values: Any) -> list[Row]:
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()
