"""Persons whom the cameras have met, known and unknown, read back."""

from typing import Any

from psycopg.rows import dict_row

from sightline.people import corrections
from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Connection

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
    with db.cursor(row_factory=dict_row) as rows:
        return rows.execute(
            f"SELECT {COLUMNS} FROM detected_persons"  # noqa: S608 - our own words
            " WHERE %(active)s::boolean IS NULL OR is_active = %(active)s"
            " ORDER BY last_seen DESC, global_id LIMIT %(limit)s",
            {"active": active, "limit": limit},
        ).fetchall()


def history(db: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """What people have said, the latest first."""
    with db.cursor(row_factory=dict_row) as rows:
        return rows.execute(
            "SELECT made_at, kind, details, made_by, correction_id FROM corrections"
            " ORDER BY made_at DESC, correction_id LIMIT %s",
            (limit,),
        ).fetchall()


def _ids(db: Connection, query: str, person: int) -> list[int]:
    return [row[0] for row in db.execute(query, {"person": person})]
