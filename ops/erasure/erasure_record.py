"""Table `erasures`: erasures that have begun, and reports of those that are done."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from sightline.runtime.errors import NotFoundError
from sightline.storage.db import Connection, Cursor

_UNFINISHED = """
SELECT erasure_id, global_ids, employee_id, made_by, purpose, started_at, plan
FROM erasures WHERE done_at IS NULL
"""

_OF_PERSON = """
    AND (%(person)s = employee_id::text OR %(person)s = ANY(global_ids::text[])
        OR plan -> 'names' ? %(person)s)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Remaining work of an erasure; it holds names, so it is deleted at the end."""

    names: Sequence[str]
    tracks: Sequence[str]
    uuids: Sequence[str]
    objects: Sequence[str]
    rows: Mapping[str, int]
    audit_lines: Sequence[int]


@dataclass(frozen=True, slots=True)
class Erasure:
    """Erasure that has begun."""

    erasure_id: UUID
    global_ids: list[int]
    employee_id: UUID | None
    made_by: str
    purpose: str | None
    started_at: datetime
    plan: Plan


def begin(cursor: Cursor, erasure: Erasure) -> None:
    """Store an erasure before anything is deleted."""
    cursor.execute(
        "INSERT INTO erasures (erasure_id, global_ids, employee_id, made_by, purpose, started_at,"
        " plan) VALUES (%(erasure_id)s, %(global_ids)s, %(employee_id)s, %(made_by)s, %(purpose)s,"
        " %(started_at)s, '{}')",
        asdict(erasure),
    )


def set_plan(cursor: Cursor, erasure: UUID, plan: Plan) -> None:
    """Store the remaining work of an erasure."""
    cursor.execute(
        "UPDATE erasures SET plan = %s WHERE erasure_id = %s", (json.dumps(asdict(plan)), erasure)
    )


def unfinished(db: Connection, person: str | None = None) -> list[Erasure]:
    """Return unfinished erasures, the oldest first: all, or those of a person."""
    query = _UNFINISHED + (_OF_PERSON if person is not None else "") + " ORDER BY started_at"
    with db.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, {"person": person}).fetchall()
    return [Erasure(**row | {"plan": Plan(**row["plan"])}) for row in rows]


def finish(cursor: Cursor, erasure: UUID, report: Mapping[str, Any], at: datetime) -> None:
    """Store the report of an erasure, and delete its plan with the names."""
    cursor.execute(
        "UPDATE erasures SET report = %s, done_at = %s, plan = NULL WHERE erasure_id = %s",
        (json.dumps(report), at, erasure),
    )


def latest_report(db: Connection, any_id: str) -> dict[str, Any]:
    """Return the latest report about an erased person by an id. Raises NotFoundError."""
    row = db.execute(
        "SELECT report FROM erasures WHERE done_at IS NOT NULL AND (erasure_id::text = %(id)s"
        " OR employee_id::text = %(id)s OR %(id)s = ANY(global_ids::text[]))"
        " ORDER BY done_at DESC LIMIT 1",
        {"id": any_id},
    ).fetchone()
    if row is None:
        raise NotFoundError(f"nobody who was erased has the id {any_id[:80]}")
    return dict(row[0])
