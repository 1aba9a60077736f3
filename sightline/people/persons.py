"""Persons whom the cameras have met, known and unknown, read back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from sightline.errors import ConflictError, NotFoundError
from sightline.people import corrections
from sightline.people.overlay import Cursor
from sightline.store.db import Connection

COLUMNS = (
    "id, global_id, person_id, assigned_name, is_active, first_seen, last_seen, cameras_visited,"
    " current_room_id, current_positions, total_appearances, total_detections, avg_height_pixels,"
    " avg_width_pixels, avg_height_meters, face_quality, quality_scores, embedding_pack,"
    " created_at, updated_at"
)
"""Of `detected_persons`, without the vector."""

_TRACKS = """
SELECT track_uuid, camera_id, site_id, first_seen, last_seen, confidence, score, face_quality
FROM person_tracks WHERE global_id = %s ORDER BY last_seen DESC, track_uuid LIMIT %s
"""

_MERGED = "SELECT global_id FROM person_aliases WHERE into_global_id = %(person)s ORDER BY 1"

_NOT_SAME = """
SELECT CASE WHEN global_id = %(person)s THEN other_global_id ELSE global_id END FROM not_same
WHERE %(person)s IN (global_id, other_global_id) ORDER BY 1
"""

_SIGHTINGS = (
    "id, timestamp, person_name, access_status, is_authorized, flagged, employee_id, global_id,"
    " camera_id, site_id, entry_point, confidence_score, score, threshold, shots, runner_up,"
    " runner_up_score, candidate, candidate_score, wanted_rate, calibration, gallery_people,"
    " gallery_revision, reason, pack, snapshot_path, track_id, track_uuid, epoch, motion_event_id"
)

_VISITS = (
    "visitor_log_id, visited_at, persons_name, camera_name, confidence_score, global_id,"
    " employee_id, motion_event_id"
)

Place = tuple[datetime, UUID]
"""Time and id of the last row of a page: where the next begins."""


def find(cursor: Cursor, given: str) -> int:
    """The global id of a person given by it, or by name.

    Raises NotFoundError, and ConflictError where several strangers have been given this name.
    """
    if given.isascii() and given.isdecimal():
        return int(given)
    cursor.execute(
        "SELECT global_id FROM employees WHERE name = %(name)s"
        " UNION ALL SELECT global_id FROM person_names WHERE name = %(name)s"
        " AND NOT EXISTS (SELECT FROM employees WHERE name = %(name)s) ORDER BY 1",
        {"name": given},
    )
    found = [row[0] for row in cursor]
    if not found:
        raise NotFoundError(f"nobody is called {given[:80]}; see `sightline persons list`")
    if len(found) > 1:
        raise ConflictError(f"{given[:80]} is the name of {', '.join(map(str, found))}: give an id")
    return int(found[0])


def shown(db: Connection, global_id: int, *, tracks: int = 100) -> dict[str, Any]:
    """All that is kept of one person, vectors left out; of one merged, whoever they are now.

    With their latest tracks, whom they were merged from, who is not them. Raises NotFoundError.
    """
    with db.cursor() as cursor:
        now = corrections.resolve(cursor, global_id)
    with db.cursor(row_factory=dict_row) as rows:
        person = rows.execute(
            f"SELECT {COLUMNS} FROM detected_persons WHERE global_id = %s",  # noqa: S608 - ours
            (now,),
        ).fetchone()
        if person is None:
            raise NotFoundError(f"nothing is kept of person {now} but the logs")
        seen = rows.execute(_TRACKS, (now, tracks)).fetchall()
    return person | {
        "merged": _ids(db, _MERGED, now),
        "not_same": _ids(db, _NOT_SAME, now),
        "tracks": seen,
    }


def listed(
    db: Connection, *, active: bool | None = None, limit: int = 1000
) -> list[dict[str, Any]]:
    """Everybody whom the cameras have met, last seen first: all, or who is here or is not."""
    return _read(
        db,
        "detected_persons",
        COLUMNS,
        [("is_active = %s", active)],
        "last_seen DESC, global_id",
        limit,
    )


def sightings(
    db: Connection,
    global_id: int | None = None,
    *,
    name: str | None = None,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Rows of the log of access, latest first; `after` is time and id of the page before."""
    return _read(
        db,
        "access_logs",
        _SIGHTINGS,
        [
            ("global_id = %s", global_id),
            ("person_name = %s", name),
            ("camera_id = %s", camera),
            ("timestamp >= %s", since),
            ("timestamp < %s", until),
            ("(timestamp, id) < (%s, %s)", after),
        ],
        "timestamp DESC, id DESC",
        limit,
    )


def visits(
    db: Connection,
    global_id: int | None = None,
    *,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Rows of the visitor log, latest first; `after` is time and id of the page before."""
    return _read(
        db,
        "visitor_logs",
        _VISITS,
        [
            ("global_id = %s", global_id),
            ("camera_name = %s", camera),
            ("visited_at >= %s", since),
            ("visited_at < %s", until),
            ("(visited_at, visitor_log_id) < (%s, %s)", after),
        ],
        "visited_at DESC, visitor_log_id DESC",
        limit,
    )


def history(db: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """What people have said, the latest first."""
    return _read(
        db,
        "corrections",
        "made_at, kind, details, made_by, correction_id",
        [],
        "made_at DESC, correction_id",
        limit,
    )


def _read(
    db: Connection,
    table: str,
    columns: str,
    conditions: Sequence[tuple[str, object]],
    order: str,
    limit: int,
) -> list[dict[str, Any]]:
    """Rows of a table; a condition without a value is left out."""
    asked = [(text, value) for text, value in conditions if value is not None]
    values: list[object] = []
    for _text, value in asked:
        values += value if isinstance(value, tuple) else [value]
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s").format(
        sql.SQL(columns),
        sql.Identifier(table),
        sql.SQL(" AND ".join(text for text, _value in asked) or "true"),
        sql.SQL(order),
    )
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, [*values, limit]).fetchall()


def _ids(db: Connection, query: str, person: int) -> list[int]:
    return [row[0] for row in db.execute(query, {"person": person})]
