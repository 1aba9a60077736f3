"""Updates of a person's identity in all rows written before: of a person or of tracks."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from schemas.ids import sighting_id, visitor_log_id
from sightline.people import person_rows, visit_rows
from sightline.people.identity_corrections import PersonIdentity
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.storage.db import Cursor, settings_of

_SYSTEM_CLOCK = SystemClock()

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
# A withdrawn decision (0) has no row in access_logs, and gets none here. A track without identity
# (null) has one, and gets the identity.
_OF_TRACKS = {
    "evidence": "sighting_id = ANY(%(sightings)s::uuid[]) AND global_id IS DISTINCT FROM 0",
    "others": "track_uuid = ANY(%(tracks)s::uuid[]) AND global_id IS DISTINCT FROM 0",
}


def relabel_person(
    cursor: Cursor, former: int, identity: PersonIdentity, clock: Clock = _SYSTEM_CLOCK
) -> None:
    """Give all rows of a person to an identity: another person, or the same by another name."""
    _relabel(cursor, _OF_PERSON, {"was": former}, identity)
    recompute(cursor, {former, identity.global_id}, clock)


def relabel_tracks(cursor: Cursor, chosen: Sequence[UUID], identity: PersonIdentity) -> None:
    """Give all rows of tracks to an identity; the caller recomputes the former persons."""
    values = {"tracks": list(chosen), "sightings": sightings_of(cursor, chosen)}
    _relabel(cursor, _OF_TRACKS, values, identity)


def recompute(cursor: Cursor, persons: Iterable[int], clock: Clock = _SYSTEM_CLOCK) -> None:
    """Update the persons' rows in `detected_persons`."""
    inactive = timedelta(seconds=settings_of(cursor).match.inactive_seconds)
    person_rows.compute(cursor, persons, to_datetime(clock.now_us()) - inactive)


def sightings_of(cursor: Cursor, chosen: Sequence[UUID]) -> list[str]:
    """Return the ids of all sightings that tracks can have.

    Two epochs more than the tables have are included: a sink that is ahead may write them.
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


def _relabel(
    cursor: Cursor, rows: dict[str, str], values: dict[str, Any], identity: PersonIdentity
) -> None:
    values = values | _values(identity)
    cursor.execute(_ACCESS.format(rows=rows["others"]), values)
    _visits(cursor, rows["evidence"], values)
    cursor.execute(_OWNERS.format(rows=rows["others"]), values)
    cursor.execute(_TRACKS.format(rows=rows["others"]), values)
    if identity.employee_id:
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


def _values(identity: PersonIdentity) -> dict[str, Any]:
    return {
        "to": identity.global_id,
        "name": identity.name or None,
        "shown": identity.logged_name,
        "employee": identity.employee_id or None,
        "authorized": identity.is_authorized,
        "status": identity.access_status,
        "flagged": identity.access_status == "unauthorized",
    }
