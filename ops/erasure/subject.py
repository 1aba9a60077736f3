"""Subject of an erasure: all ids of the person, and the tracks that were theirs alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from schemas.ids import global_id, sighting_id
from sightline.people import corrections, persons
from sightline.runtime.errors import NotFoundError
from sightline.storage.db import Cursor, row_schemas

_OWN = "global_id = ANY(%(ids)s)"

_TRACK_TABLES: dict[str, LiteralString] = {
    "access_logs": f"{_OWN} OR employee_id = %(employee)s",
    "person_tracks": f"{_OWN} OR person_id = %(employee)s",
    "snapshot_owners": _OWN,
}
"""Tables that name the person of a track, with the condition for the subject's rows."""

_OF_OTHERS = """
SELECT DISTINCT track_uuid::text FROM {} WHERE track_uuid = ANY(%(tracks)s::uuid[])
    AND global_id <> 0 AND NOT global_id = ANY(%(ids)s)
"""

_EPOCHS_AHEAD = 3
"""Epochs of a live track that a table may hold before the others do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Ids, names and tracks of a person in the database."""

    global_ids: tuple[int, ...]  # their own first, then those merged into it
    employee: UUID | None
    names: tuple[str, ...]
    tracks: tuple[str, ...]
    sightings: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def uuids(self) -> set[str]:
        """UUIDs that name the person, or a part of their data, in a record of a topic."""
        own = {str(self.employee)} if self.employee else set()
        return own | {*self.tracks, *self.sightings, *self.templates}


def find(cursor: Cursor, text: str) -> Subject:
    """Return the subject of a name, a person id or a global id.

    Rows can change until the caller holds the corrections' lock. Raises NotFoundError, and
    ConflictError if several persons have the name.
    """
    own = corrections.resolve(cursor, _global_id(cursor, text))
    cursor.execute("SELECT global_id FROM person_aliases WHERE into_global_id = %s", (own,))
    ids = (own, *sorted(row[0] for row in cursor))
    cursor.execute("SELECT id, name FROM employees WHERE global_id = %s", (own,))
    enrolled = cursor.fetchone()
    employee: UUID | None = enrolled[0] if enrolled else None
    schemas = row_schemas(cursor.connection)
    tracks = _tracks(cursor, schemas, ids, employee)
    names = _names(cursor, ids, enrolled[1] if enrolled else None)
    sightings = _sightings(cursor, schemas, tracks)
    templates = _templates(cursor, employee)
    return Subject(ids, employee, names, tuple(sorted(tracks)), sightings, templates)


def _global_id(cursor: Cursor, text: str) -> int:
    try:
        employee = UUID(text)
    except ValueError:
        return persons.find_person(cursor, text)
    cursor.execute("SELECT FROM employees WHERE id = %s", (employee,))
    if cursor.fetchone() is None:
        raise NotFoundError(f"nobody is enrolled with the id {employee}")
    return global_id(str(employee))


def _names(cursor: Cursor, ids: Iterable[int], enrolled: str | None) -> tuple[str, ...]:
    """Return all names that the person has ever had."""
    cursor.execute(
        "SELECT name FROM person_names WHERE global_id = ANY(%(ids)s)"
        " UNION SELECT details ->> 'name' FROM corrections WHERE kind = 'name'"
        " AND (details ->> 'global_id')::bigint = ANY(%(ids)s)",
        {"ids": list(ids)},
    )
    names = {row[0] for row in cursor} - {enrolled, None}
    return (*([enrolled] if enrolled else []), *sorted(names))


def _tracks(
    cursor: Cursor, schemas: Sequence[str], ids: Iterable[int], employee: UUID | None
) -> set[str]:
    """Return the tracks that were the person's, and nobody else's at any time."""
    parameters = {"ids": list(ids), "employee": employee}
    cursor.execute(
        "SELECT track_uuid::text FROM track_corrections WHERE global_id = ANY(%(ids)s)", parameters
    )
    track_ids = {row[0] for row in cursor}
    for schema in schemas:
        for table, condition in _TRACK_TABLES.items():
            query = sql.SQL("SELECT DISTINCT track_uuid::text FROM {} WHERE {}")
            table_name = sql.Identifier(schema, table)
            cursor.execute(query.format(table_name, sql.SQL(condition)), parameters)
            track_ids |= {row[0] for row in cursor}
    of_others: set[str] = set()
    for schema in schemas:
        for table in _TRACK_TABLES:
            table_name = sql.Identifier(schema, table)
            cursor.execute(
                sql.SQL(_OF_OTHERS).format(table_name), parameters | {"tracks": sorted(track_ids)}
            )
            of_others |= {row[0] for row in cursor}
    return track_ids - of_others


def _sightings(cursor: Cursor, schemas: Sequence[str], tracks: Iterable[str]) -> tuple[str, ...]:
    last: dict[str, int] = dict.fromkeys(tracks, 0)
    for schema in schemas:
        for table in _TRACK_TABLES:
            query = sql.SQL(
                "SELECT track_uuid::text, max(epoch) FROM {} WHERE track_uuid = ANY(%s::uuid[])"
                " AND epoch IS NOT NULL GROUP BY 1"
            )
            cursor.execute(query.format(sql.Identifier(schema, table)), (sorted(last),))
            for track, epoch in cursor.fetchall():
                last[track] = max(last[track], epoch)
    return tuple(
        sighting_id(track, epoch)
        for track, newest in sorted(last.items())
        for epoch in range(newest + _EPOCHS_AHEAD)
    )


def _templates(cursor: Cursor, employee: UUID | None) -> tuple[str, ...]:
    query = "SELECT template_id::text FROM face_templates WHERE employee_id = %s ORDER BY 1"
    return tuple(row[0] for row in cursor.execute(query, (employee,)))
