"""Operators' corrections as an overlay over the matcher's decisions.

The person of a track is the one that a correction gives it, else the one that the matcher has
decided, each followed to the person it was merged into. The sinks apply the overlay to every
decision that they write, a correction applies it to the rows already written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg.rows import class_row

from schemas.naming import AdvisoryLock
from sightline.storage.db import Cursor

UNKNOWN_NAME = "Unknown"
"""Name of unknown persons in the logs."""


def lock_shared(cursor: Cursor) -> None:
    """Take the corrections' lock in shared mode until the transaction ends.

    It is the first lock of a transaction: a correction waits for all its holders, so a holder
    must never wait for a correction.
    """
    cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", (AdvisoryLock.CORRECTIONS,))


def lock_exclusive(cursor: Cursor) -> None:
    """Take the corrections' lock exclusively, as a transaction's first lock."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (AdvisoryLock.CORRECTIONS,))


@dataclass(frozen=True, slots=True)
class PersonIdentity:
    """A person's name and authorization as written to the logs."""

    global_id: int
    employee_id: str  # empty for an unknown person
    name: str  # empty without a name
    is_authorized: bool
    is_forgotten: bool

    @property
    def logged_name(self) -> str:
        """Name in the logs."""
        return self.name or UNKNOWN_NAME

    @property
    def access_status(self) -> str:
        """Value of `access_logs.access_status`."""
        if not self.employee_id:
            return "unknown"
        return "authorized" if self.is_authorized else "unauthorized"


_IDENTITIES = """
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
FROM unnest(%s::uuid[], %s::bigint[]) WITH ORDINALITY AS decision(track, decided, number)
LEFT JOIN track_corrections correction ON correction.track_uuid = decision.track
CROSS JOIN LATERAL (SELECT coalesce(correction.global_id, decision.decided) AS global_id) AS meant
LEFT JOIN person_aliases alias ON alias.global_id = meant.global_id
ORDER BY decision.number
"""


def corrected_persons(cursor: Cursor, decided: Sequence[tuple[str, int]]) -> list[int]:
    """Return the person of each (track id, decided person) after corrections; 0 stays 0."""
    tracks, persons = [track for track, _person in decided], [person for _track, person in decided]
    return [row[0] for row in cursor.execute(_EFFECTIVE, (tracks, persons))]


def identities_of(cursor: Cursor, persons: Iterable[int]) -> dict[int, PersonIdentity]:
    """Return persons' current names and authorization by global id."""
    with cursor.connection.cursor(row_factory=class_row(PersonIdentity)) as rows:
        identities = rows.execute(_IDENTITIES, (sorted(set(persons)),)).fetchall()
    return {identity.global_id: identity for identity in identities}


def merged_into(cursor: Cursor, person: int) -> int:
    """Return the person that a person was merged into, or the person themselves."""
    cursor.execute("SELECT into_global_id FROM person_aliases WHERE global_id = %s", (person,))
    row = cursor.fetchone()
    return row[0] if row else person
