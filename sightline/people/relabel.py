"""New names in the logs: every row of a person, or of some tracks, says another one."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.ids import sighting_id, visitor_log_id
from sightline.people import person_rows, visit_rows
from sightline.people.identity_corrections import Cursor, Who
from sightline.runtime.settings import load_settings

_ACCESS = """
UPDATE access_logs SET
    global_id = %(to)s, person_name = %(shown)s, employee_id = %(employee)s::uuid,
    is_authorized = %(authorized)s, access_status = %(status)s, flagged = %(flagged)s,
    aws_face_id = (SELECT aws_face_id FROM employees WHERE id = %(employee)s::uuid)
WHERE {rows}
"""

_EVIDENCE = """
UPDATE visit_evidence SET
    global_id = %(to)s, visitor_log_id = visit.id, persons_name = %(shown)s,
    employee_id = %(employee)s::uuid
FROM unnest(%(events)s::uuid[], %(visits)s::uuid[]) AS visit(event, id)
WHERE motion_event_id = visit.event AND {rows}
"""

_OWNERS = """
WITH corrected AS (
    UPDATE snapshot_owners SET global_id = %(to)s, persons_name = %(name)s
    WHERE {rows} RETURNING sighting_id)
INSERT INTO stale_snapshots (sighting_id) SELECT sighting_id FROM corrected
ON CONFLICT DO NOTHING
"""

_TRACKS = """
UPDATE person_tracks SET
    global_id = %(to)s, person_id = %(employee)s::uuid, name = %(name)s
WHERE {rows}
"""

_LAST_SEEN = """
UPDATE employees SET last_seen = greatest(last_seen, seen.last)
FROM (SELECT max(timestamp) AS last FROM access_logs WHERE employee_id = %(employee)s::uuid) seen
WHERE id = %(employee)s::uuid AND last_seen IS DISTINCT FROM greatest(last_seen, seen.last)
"""

_OF_PERSON = {"evidence": "global_id = %(was)s", "others": "global_id = %(was)s"}
# A decision that was taken back (0) has no row in the log of access, and gets none here.
_OF_TRACKS = {
    "evidence": "sighting_id = ANY(%(sightings)s::uuid[]) AND global_id <> 0",
    "others": "track_uuid = ANY(%(tracks)s::uuid[]) AND global_id <> 0",
}


def person(cursor: Cursor, was: int, who: Who) -> None:
    """All that was said of a person is said of another, or of the same by another name."""
    _relabel(cursor, _OF_PERSON, {"was": was}, who)
    recompute(cursor, {was, who.global_id})


def tracks(cursor: Cursor, chosen: Sequence[UUID], who: Who) -> None:
    """All that was said of these tracks is said of a person; the caller recomputes who it was."""
    values = {"tracks": list(chosen), "sightings": sightings_of(cursor, chosen)}
    _relabel(cursor, _OF_TRACKS, values, who)


def recompute(cursor: Cursor, persons: Iterable[int]) -> None:
    """Bring `detected_persons` up to date."""
    inactive = timedelta(seconds=load_settings().sinks.inactive_seconds)
    person_rows.compute(cursor, persons, datetime.now(UTC) - inactive)


def sightings_of(cursor: Cursor, chosen: Sequence[UUID]) -> list[str]:
    """The ids of all sightings that there can be of tracks.

    Tables that are ahead of the others may have an epoch more: events are cut as often as epochs.
    """
    cursor.execute(
        "SELECT coalesce(max(epoch), 0) FROM ("
        " SELECT epoch FROM access_logs WHERE track_uuid = ANY(%(tracks)s)"
        " UNION ALL SELECT epoch FROM person_tracks WHERE track_uuid = ANY(%(tracks)s)"
        " UNION ALL SELECT epoch FROM snapshot_owners WHERE track_uuid = ANY(%(tracks)s)) AS seen",
        {"tracks": list(chosen)},
    )
    (last,) = cursor.fetchone() or (0,)
    return [sighting_id(str(track), epoch) for track in chosen for epoch in range(last + 3)]


def _relabel(cursor: Cursor, rows: dict[str, str], values: dict[str, Any], who: Who) -> None:
    values = values | _said(who)
    cursor.execute(_ACCESS.format(rows=rows["others"]), values)
    _visits(cursor, rows["evidence"], values)
    cursor.execute(_OWNERS.format(rows=rows["others"]), values)
    cursor.execute(_TRACKS.format(rows=rows["others"]), values)
    if who.employee_id:
        cursor.execute(_LAST_SEEN, values)


def _visits(cursor: Cursor, rows: str, values: dict[str, Any]) -> None:
    cursor.execute(
        f"SELECT DISTINCT motion_event_id::text FROM visit_evidence WHERE {rows}",  # noqa: S608
        values,
    )
    events = [row[0] for row in cursor]
    visits = [visitor_log_id(event, values["to"]) for event in events]
    cursor.execute(_EVIDENCE.format(rows=rows), values | {"events": events, "visits": visits})
    visit_rows.compute(cursor, events)


def _said(who: Who) -> dict[str, Any]:
    return {
        "to": who.global_id,
        "name": who.name or None,
        "shown": who.shown,
        "employee": who.employee_id or None,
        "authorized": who.is_authorized,
        "status": who.access_status,
        "flagged": who.access_status == "unauthorized",
    }
