"""Names of rows that fit several enrolled people alike, such as twins: "one of Ada or Eva".

Such a row is of nobody: its name is Unknown, and candidate and runner-up are ids of employees. The
names are those of now, so an erasure leaves none; the database's function `one_of` says them.
"""

from typing import Final, LiteralString

from sightline.storage.db import Cursor

UNDECIDED = "one of "
"""Beginning of what is said instead of a name."""

ACCESS_NAME: Final[LiteralString] = (
    "CASE WHEN global_id IS NULL AND reason IS NOT NULL"
    " THEN coalesce(public.one_of(candidate, runner_up, reason), person_name)"
    " ELSE person_name END"
)
"""SQL of the name that a row of `access_logs` shows."""

VISIT_NAME: Final[LiteralString] = (
    "CASE WHEN global_id IS NULL THEN coalesce("
    "(SELECT public.one_of(log.candidate, log.runner_up, log.reason)"
    " FROM visit_evidence evidence JOIN access_logs log ON log.id = evidence.sighting_id"
    " WHERE evidence.motion_event_id = visitor_logs.motion_event_id"
    " AND evidence.visitor_log_id = visitor_logs.visitor_log_id"
    " AND log.global_id IS NULL ORDER BY log.timestamp DESC LIMIT 1), persons_name)"
    " ELSE persons_name END"
)
"""SQL of the name that a row of `visitor_logs` shows."""


def one_of(cursor: Cursor, candidate: str, runner_up: str, reason: str) -> str | None:
    """Return "one of Ada or Eva" for a decision of nobody, None where it is not between these."""
    row = cursor.execute(
        "SELECT public.one_of(%s, %s, %s)", (candidate, runner_up, reason)
    ).fetchone()
    return row[0] if row else None
