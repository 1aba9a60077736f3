"""Who is to be erased: all ids that mean them, and the tracks that were theirs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from schemas.ids import global_id, sighting_id
from sightline.people import corrections, persons
from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import NotFoundError
from sightline.storage.db import row_schemas

_THEIRS = "global_id = ANY(%(ids)s)"

_SEEN: dict[str, LiteralString] = {
    "access_logs": f"{_THEIRS} OR employee_id = %(employee)s",
    "person_tracks": f"{_THEIRS} OR person_id = %(employee)s",
    "snapshot_owners": _THEIRS,
}
"""Tables that say who a track was, and which of their rows say that it was the person."""

_OTHERS = """
SELECT DISTINCT track_uuid::text FROM {} WHERE track_uuid = ANY(%(tracks)s::uuid[])
    AND global_id <> 0 AND NOT global_id = ANY(%(ids)s)
"""

_EPOCHS_AHEAD = 3
"""Of a track that is still seen some table may know an epoch that no other one knows."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person as the database knows them."""

    global_ids: tuple[int, ...]  # their own first, then whoever was merged into them
    employee: UUID | None
    names: tuple[str, ...]
    tracks: tuple[str, ...]
    sightings: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def uuids(self) -> set[str]:
        """Whatever names them, or what is theirs, in a record of a topic."""
        own = {str(self.employee)} if self.employee else set()
        return own | {*self.tracks, *self.sightings, *self.templates}


def find(cursor: Cursor, given: str) -> Subject:
    """The person of a name, a person id or a global id.

    What is theirs can change until the caller holds the corrections' lock. Raises NotFoundError,
    and ConflictError where a name is that of several.
    """
    own = corrections.resolve(cursor, _number(cursor, given))
    cursor.execute("SELECT global_id FROM person_aliases WHERE into_global_id = %s", (own,))
    ids = (own, *sorted(row[0] for row in cursor))
    cursor.execute("SELECT id, name FROM employees WHERE global_id = %s", (own,))
    enrolled = cursor.fetchone()
    employee: UUID | None = enrolled[0] if enrolled else None
    places = row_schemas(cursor.connection)
    tracks = _tracks(cursor, places, ids, employee)
    return Subject(
        ids,
        employee,
        _names(cursor, ids, enrolled[1] if enrolled else None),
        tuple(sorted(tracks)),
        _sightings(cursor, places, tracks),
        _templates(cursor, employee),
    )


def _number(cursor: Cursor, given: str) -> int:
    try:
        employee = UUID(given)
    except ValueError:
        return persons.find(cursor, given)
    cursor.execute("SELECT FROM employees WHERE id = %s", (employee,))
    if cursor.fetchone() is None:
        raise NotFoundError(f"nobody is enrolled with the id {employee}")
    return global_id(str(employee))


def _names(cursor: Cursor, ids: Iterable[int], enrolled: str | None) -> tuple[str, ...]:
    """All that they have ever been called."""
    cursor.execute(
        "SELECT name FROM person_names WHERE global_id = ANY(%(ids)s)"
        " UNION SELECT details ->> 'name' FROM corrections WHERE kind = 'name'"
        " AND (details ->> 'global_id')::bigint = ANY(%(ids)s)",
        {"ids": list(ids)},
    )
    given = {row[0] for row in cursor} - {enrolled, None}
    return (*([enrolled] if enrolled else []), *sorted(given))


def _tracks(
    cursor: Cursor, places: Sequence[str], ids: Iterable[int], employee: UUID | None
) -> set[str]:
    """The tracks that were theirs, and nobody else's at any time."""
    asked = {"ids": list(ids), "employee": employee}
    cursor.execute(
        "SELECT track_uuid::text FROM track_corrections WHERE global_id = ANY(%(ids)s)", asked
    )
    theirs = {row[0] for row in cursor}
    for schema in places:
        for table, condition in _SEEN.items():
            query = sql.SQL("SELECT DISTINCT track_uuid::text FROM {} WHERE {}")
            place = sql.Identifier(schema, table)
            cursor.execute(query.format(place, sql.SQL(condition)), asked)
            theirs |= {row[0] for row in cursor}
    others: set[str] = set()
    for schema in places:
        for table in _SEEN:
            place = sql.Identifier(schema, table)
            cursor.execute(sql.SQL(_OTHERS).format(place), asked | {"tracks": sorted(theirs)})
            others |= {row[0] for row in cursor}
    return theirs - others


def _sightings(cursor: Cursor, places: Sequence[str], tracks: Iterable[str]) -> tuple[str, ...]:
    last: dict[str, int] = dict.fromkeys(tracks, 0)
    for schema in places:
        for table in _SEEN:
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
    cursor.execute(
        "SELECT template_id::text FROM face_templates WHERE employee_id = %s ORDER BY 1",
        (employee,),
    )
    return tuple(row[0] for row in cursor)
