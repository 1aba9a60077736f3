"""Queries of persons seen by cameras, enrolled and unknown, and of corrections."""

from typing import Any

from sightline.people import corrections, employee_lookup
from sightline.people.names import normalise_text
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Connection, Cursor, dict_rows

COLUMNS = (
    "id, global_id, person_id, assigned_name, is_active, first_seen, last_seen,"
    " camera_names(cameras_visited) AS cameras_visited, current_room_id,"
    " by_camera_name(current_positions) AS current_positions, total_appearances,"
    " total_detections, avg_height_pixels, avg_width_pixels, avg_height_meters,"
    " face_quality, quality_scores, embedding_pack, created_at, updated_at"
)
"""Columns of `detected_persons` without the vector; cameras by name."""

_TRACKS = """
SELECT track_uuid, camera_name(camera_id) AS camera_id, site_id, first_seen, last_seen, confidence,
    score, face_quality
FROM person_tracks WHERE global_id = %s ORDER BY last_seen DESC, track_uuid LIMIT %s
"""

_MERGED = "SELECT global_id FROM person_aliases WHERE into_global_id = %(person)s ORDER BY 1"

_NOT_SAME = """
SELECT CASE WHEN global_id = %(person)s THEN other_global_id ELSE global_id END FROM not_same
WHERE %(person)s IN (global_id, other_global_id) ORDER BY 1
"""


def find_person(cursor: Cursor, name_or_id: str) -> int:
    """Return the global id of a person by an employee's name, `NAME (CODE)`, code or id, or a name.

    Digits that are nobody's code are taken as the global id itself. Raises NotFoundError, and
    ConflictError, with the codes or ids, if several persons have this name.
    """
    if enrolled := employee_lookup.find(cursor, name_or_id):
        return enrolled.global_id
    if name_or_id.isascii() and name_or_id.isdecimal():
        return int(name_or_id)
    name = normalise_text(name_or_id)
    cursor.execute("SELECT global_id FROM person_names WHERE name = %s ORDER BY 1", (name,))
    ids = [row[0] for row in cursor]
    if not ids:
        raise NotFoundError(f"nobody is called {name[:80]}; see `sightline persons list`")
    if len(ids) > 1:
        raise ConflictError(f"{name[:80]} is the name of {', '.join(map(str, ids))}: give an id")
    return int(ids[0])


def read_person(db: Connection, global_id: int, *, tracks: int = 100) -> dict[str, Any]:
    """Return a person's row without vectors; a merged person's is that of the merge target.

    The dict has also the latest tracks, the ids merged into the person, and the cannot-links.
    Raises NotFoundError.
    """
    with db.cursor() as cursor:
        current_id = corrections.resolve(cursor, global_id)
    query = f"SELECT {COLUMNS} FROM detected_persons WHERE global_id = %s"  # noqa: S608 - constants
    persons = dict_rows(db, query, (current_id,))
    if not persons:
        raise NotFoundError(f"nothing is kept of person {current_id} but the logs")
    return persons[0] | {
        "merged": _ids(db, _MERGED, current_id),
        "not_same": _ids(db, _NOT_SAME, current_id),
        "tracks": dict_rows(db, _TRACKS, (current_id, tracks)),
    }


def list_persons(
    db: Connection, *, active: bool | None = None, limit: int = 1000
) -> list[dict[str, Any]]:
    """Return persons, last seen first: all, or only active or inactive ones."""
    return dict_rows(
        db,
        f"SELECT {COLUMNS} FROM detected_persons"  # noqa: S608 - constants
        " WHERE %(active)s::boolean IS NULL OR is_active = %(active)s"
        " ORDER BY last_seen DESC, global_id LIMIT %(limit)s",
        {"active": active, "limit": limit},
    )


def list_corrections(db: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """Return the corrections, the latest first."""
    return dict_rows(
        db,
        "SELECT made_at, kind, details, made_by, correction_id FROM corrections"
        " ORDER BY made_at DESC, correction_id LIMIT %s",
        (limit,),
    )


def _ids(db: Connection, query: str, person: int) -> list[int]:
    return [row[0] for row in db.execute(query, {"person": person})]
