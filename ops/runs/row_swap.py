"""Swap of rows of motion events between schemas, and its consequences for other tables.

The caller holds the corrections' lock exclusively: nobody else writes these rows.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from psycopg import sql

from schemas.ids import sighting_id
from sightline.people import employees, identity_corrections, relabel, visit_rows
from sightline.storage.db import Cursor
from sightline.storage.run_schemas import ROWS

_BY_SIGHTING = ("snapshots", "pending_snapshots")

_MOVE = """
WITH moved AS (DELETE FROM {source} WHERE {which} RETURNING *)
INSERT INTO {target} ({columns}) SELECT {columns} FROM moved
"""

_COLUMNS = """
SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
INTERSECT
SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
"""

_SEEN = """
SELECT DISTINCT global_id FROM {} WHERE motion_event_id = ANY(%s::uuid[]) AND global_id <> 0
"""

# Rows of a run may refer to removed employees, and to events that retention has deleted.
_REMOVED_EMPLOYEES = """
UPDATE {} AS row SET employee_id = NULL
WHERE NOT EXISTS (SELECT FROM public.employees WHERE employees.id = row.employee_id)
    AND employee_id IS NOT NULL AND motion_event_id = ANY(%s::uuid[])
RETURNING global_id
"""
_DELETED_EVENTS = """
DELETE FROM {} AS row WHERE motion_event_id = ANY(%s::uuid[]) AND NOT EXISTS (
    SELECT FROM public.motion_events event WHERE event.event_id = row.motion_event_id)
"""

_LAST_SEEN_IN = """
SELECT employee_id, max(timestamp) FROM public.access_logs
WHERE motion_event_id = ANY(%s::uuid[]) AND employee_id IS NOT NULL GROUP BY employee_id
"""

# An employee's last_seen follows if it came from the outgoing rows.
_UPDATE_LAST_SEEN = """
UPDATE public.employees SET last_seen = CASE
    WHEN last_seen <= gone.last THEN now_seen.last ELSE greatest(last_seen, now_seen.last) END
FROM unnest(%s::uuid[], %s::timestamptz[]) AS gone(employee_id, last)
LEFT JOIN LATERAL (
    SELECT max(timestamp) AS last FROM public.access_logs log
    WHERE log.employee_id = gone.employee_id) AS now_seen ON true
WHERE employees.id = gone.employee_id
"""

_CORRECTED = """
SELECT correction.track_uuid, coalesce(alias.into_global_id, correction.global_id)
FROM track_corrections correction LEFT JOIN person_aliases alias USING (global_id)
WHERE correction.track_uuid IN (
    SELECT track_uuid FROM person_tracks WHERE motion_event_id = ANY(%(events)s::uuid[])
    UNION SELECT track_uuid FROM access_logs WHERE motion_event_id = ANY(%(events)s::uuid[]))
ORDER BY 1
"""

_MERGED = """
SELECT DISTINCT alias.global_id, alias.into_global_id FROM person_aliases alias
JOIN (
    SELECT global_id FROM access_logs WHERE motion_event_id = ANY(%(events)s::uuid[])
    UNION SELECT global_id FROM person_tracks WHERE motion_event_id = ANY(%(events)s::uuid[])
) AS said USING (global_id) ORDER BY 1
"""

# Unknown persons only: the logs keep the names of employees, removed ones included.
_RENAMED = """
SELECT DISTINCT log.global_id FROM access_logs log LEFT JOIN person_names named USING (global_id)
WHERE motion_event_id = ANY(%(events)s::uuid[]) AND access_status = 'unknown'
    AND person_name <> coalesce(named.name, %(unknown)s) ORDER BY 1
"""

_FORGOTTEN = """
UPDATE person_tracks SET embedding = NULL, embedding_sealed = NULL
WHERE motion_event_id = ANY(%s::uuid[]) AND global_id IN (
    SELECT (details ->> 'global_id')::bigint FROM corrections WHERE kind = 'forget')
"""

_STALE_PICTURES = """
INSERT INTO stale_snapshots (sighting_id)
SELECT sighting_id FROM snapshot_owners WHERE motion_event_id = ANY(%s::uuid[])
ON CONFLICT DO NOTHING
"""


def swap(cursor: Cursor, events: Sequence[str], incoming: str, outgoing: str) -> int:
    """Move the live rows of motion events to a schema, and those of another to their place.

    Corrections made since apply to the incoming rows. Returns the number of incoming sightings.
    """
    cursor.execute("SET LOCAL search_path = public")
    event_ids = list(events)
    persons = _persons(cursor, "public", event_ids) | _persons(cursor, incoming, event_ids)
    before = cursor.execute(_LAST_SEEN_IN, (event_ids,))
    last_seen_before: dict[UUID, datetime] = dict(before.fetchall())
    removed = _detach(cursor, incoming, event_ids)
    _move(cursor, event_ids, "public", outgoing)
    sightings = _move(cursor, event_ids, incoming, "public")
    for person in removed:
        employees.remove_name(cursor, person)
    persons |= _correct(cursor, event_ids)
    cursor.execute(_STALE_PICTURES, (event_ids,))
    visit_rows.compute(cursor, event_ids)
    relabel.recompute(cursor, persons)
    cursor.execute(_LAST_SEEN_IN, (event_ids,))
    last_seen = last_seen_before | {
        person: last_seen_before.get(person) for person, _last in cursor.fetchall()
    }
    cursor.execute(_UPDATE_LAST_SEEN, (list(last_seen), list(last_seen.values())))
    return sightings


def _persons(cursor: Cursor, schema: str, events: list[str]) -> set[int]:
    persons: set[int] = set()
    for table in ("person_tracks", "access_logs"):
        cursor.execute(sql.SQL(_SEEN).format(sql.Identifier(schema, table)), (events,))
        persons |= {row[0] for row in cursor}
    return persons


def _detach(cursor: Cursor, schema: str, events: list[str]) -> set[int]:
    """Clear references to deleted rows; return the global ids of removed employees."""
    removed: set[int] = set()
    visits = sql.Identifier(schema, "visitor_logs")
    cursor.execute(sql.SQL(_DELETED_EVENTS).format(visits), (events,))
    for table in (sql.Identifier(schema, "access_logs"), visits):
        cursor.execute(sql.SQL(_REMOVED_EMPLOYEES).format(table), (events,))
        removed |= {row[0] for row in cursor}
    return removed


def _move(cursor: Cursor, events: list[str], source: str, target: str) -> int:
    """Move all rows of motion events; return the number of sightings."""
    sightings = _sightings(cursor, source, events)
    moved = 0
    for table in ROWS:
        by_sighting = table in _BY_SIGHTING
        column = "sighting_id" if by_sighting else "motion_event_id"
        cursor.execute(_COLUMNS, (source, table, target, table))
        column_names = sorted(row[0] for row in cursor)
        statement = sql.SQL(_MOVE).format(
            source=sql.Identifier(source, table),
            target=sql.Identifier(target, table),
            columns=sql.SQL(", ").join(map(sql.Identifier, column_names)),
            which=sql.SQL("{} = ANY(%s::uuid[])").format(sql.Identifier(column)),
        )
        cursor.execute(statement, (sightings if by_sighting else events,))
        if table == "access_logs":
            moved = cursor.rowcount
    return moved


def _sightings(cursor: Cursor, schema: str, events: list[str]) -> list[str]:
    """Return the ids of all sightings of motion events' tracks, also without identity."""
    cursor.execute(
        sql.SQL(
            "SELECT track_uuid::text, epoch FROM {owners} WHERE motion_event_id = ANY(%(events)s)"
            " UNION SELECT track_uuid::text, coalesce(epoch, 0) FROM {tracks}"
            " WHERE motion_event_id = ANY(%(events)s)"
        ).format(
            owners=sql.Identifier(schema, "snapshot_owners"),
            tracks=sql.Identifier(schema, "person_tracks"),
        ),
        {"events": [UUID(event) for event in events]},
    )
    # The next epoch may have sent a picture that no sighting has claimed.
    return [sighting_id(track, number) for track, epoch in cursor for number in range(epoch + 2)]


def _correct(cursor: Cursor, events: list[str]) -> set[int]:
    """Apply corrections to incoming rows; return the global ids whose rows have changed."""
    parameters = {"events": events, "unknown": identity_corrections.UNKNOWN_NAME}
    cursor.execute(_FORGOTTEN, (events,))
    corrected: dict[int, list[UUID]] = defaultdict(list)
    for track, person in cursor.execute(_CORRECTED, parameters):
        corrected[person].append(track)
    merged: dict[int, int] = dict(cursor.execute(_MERGED, parameters).fetchall())
    people = identity_corrections.identities_of(cursor, {*corrected, *merged.values()})
    for person, tracks in corrected.items():
        relabel.relabel_tracks(cursor, tracks, people[person])
    for person, into in merged.items():
        relabel.relabel_person(cursor, person, people[into])
    renamed = [row[0] for row in cursor.execute(_RENAMED, parameters)]
    for person, identity in identity_corrections.identities_of(cursor, renamed).items():
        relabel.relabel_person(cursor, person, identity)
    return {*corrected, *merged, *merged.values()}
