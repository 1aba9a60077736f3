"""Who is who by the word of people: the corrections, as they lie over what the matcher decided.

Who a track is = where the person lives whom it was given to, or whom the matcher decided. The
sinks apply it to every decision that they write, the corrections to all that is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow, class_row

Cursor = psycopg.Cursor[TupleRow]

CORRECTIONS_LOCK = 0x516874_C0DE
"""Advisory lock: shared by who writes decisions, held alone by who corrects them."""


UNKNOWN = "Unknown"
"""What the logs call people whom nobody has named."""


def share(cursor: Cursor) -> None:
    """Keep corrections away until the transaction ends.

    Taken before any other lock: a correction waits for whoever has it, so nobody who has it may
    wait for somebody who wants it.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (CORRECTIONS_LOCK,))


def lock(cursor: Cursor) -> None:
    """Keep everybody away who writes decisions; first of all locks, as in `share`."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (CORRECTIONS_LOCK,))


@dataclass(frozen=True, slots=True)
class Who:
    """A person as the logs name them."""

    global_id: int
    employee_id: str  # empty for whom nobody has enrolled
    name: str  # empty for whom nobody has named
    is_authorized: bool
    is_forgotten: bool

    @property
    def shown(self) -> str:
        """The name in the logs."""
        return self.name or UNKNOWN

    @property
    def access_status(self) -> str:
        """What `access_logs` calls it."""
        if not self.employee_id:
            return "unknown"
        return "authorized" if self.is_authorized else "unauthorized"


_WHO = """
SELECT person.global_id, coalesce(employee.id::text, '') AS employee_id,
    coalesce(employee.name, named.name, '') AS name,
    coalesce(employee.is_authorized AND employee.status = 'active', false) AS is_authorized,
    EXISTS (SELECT FROM corrections WHERE kind = 'forget'
        AND (details ->> 'global_id')::bigint = person.global_id) AS is_forgotten
FROM unnest(%s::bigint[]) AS person(global_id)
LEFT JOIN employees employee USING (global_id)
LEFT JOIN person_names named USING (global_id)
"""

_EFFECTIVE = """
SELECT coalesce(alias.into_global_id, meant.global_id)
FROM unnest(%s::uuid[], %s::bigint[]) WITH ORDINALITY AS asked(track, decided, number)
LEFT JOIN track_corrections correction ON correction.track_uuid = asked.track
CROSS JOIN LATERAL (SELECT coalesce(correction.global_id, asked.decided) AS global_id) AS meant
LEFT JOIN person_aliases alias ON alias.global_id = meant.global_id
ORDER BY asked.number
"""


def effective(cursor: Cursor, decided: Sequence[tuple[str, int]]) -> list[int]:
    """Whom each track is, given its id and whom the matcher decided; 0 stays 0."""
    tracks, persons = [track for track, _person in decided], [person for _track, person in decided]
    cursor.execute(_EFFECTIVE, (tracks, persons))
    return [row[0] for row in cursor]


def people(cursor: Cursor, persons: Iterable[int]) -> dict[int, Who]:
    """What people are called now, by global id."""
    with cursor.connection.cursor(row_factory=class_row(Who)) as rows:
        found = rows.execute(_WHO, (sorted(set(persons)),)).fetchall()
    return {one.global_id: one for one in found}


def alias_of(cursor: Cursor, person: int) -> int:
    """Whom a person was merged into, or themselves."""
    cursor.execute("SELECT into_global_id FROM person_aliases WHERE global_id = %s", (person,))
    row = cursor.fetchone()
    return row[0] if row else person
