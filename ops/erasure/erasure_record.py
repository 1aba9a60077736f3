"""Erasures in the database: begun in one transaction, gone on with until they are done."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import NotFoundError
from sightline.storage.db import Connection

_OPEN = """
SELECT erasure_id, global_ids, employee_id, made_by, purpose, started_at, plan
FROM erasures WHERE done_at IS NULL
"""

_GIVEN = """
    AND (%(given)s = employee_id::text OR %(given)s = ANY(global_ids::text[])
        OR plan -> 'names' ? %(given)s)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do; it goes with the last of it, for it has names in it."""

    names: Sequence[str]
    tracks: Sequence[str]
    uuids: Sequence[str]
    objects: Sequence[str]
    rows: Mapping[str, int]
    audit_lines: Sequence[int]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One that has begun."""

    erasure_id: UUID
    global_ids: list[int]
    employee_id: UUID | None
    made_by: str
    purpose: str | None
    started_at: datetime
    plan: Plan


def begin(cursor: Cursor, erasure: Erasure) -> None:
    """Note one, before anything is deleted."""
    cursor.execute(
        "INSERT INTO erasures (erasure_id, global_ids, employee_id, made_by, purpose, started_at,"
        " plan) VALUES (%s, %s, %s, %s, %s, %s, '{}')",
        (
            erasure.erasure_id,
            erasure.global_ids,
            erasure.employee_id,
            erasure.made_by,
            erasure.purpose,
            erasure.started_at,
        ),
    )


def set_plan(cursor: Cursor, erasure: UUID, plan: Plan) -> None:
    """Say what is left to do."""
    cursor.execute(
        "UPDATE erasures SET plan = %s WHERE erasure_id = %s", (json.dumps(asdict(plan)), erasure)
    )


def unfinished(db: Connection, given: str | None = None) -> list[Erasure]:
    """Erasures that are not done, the oldest first: all, or those of a person."""
    query = _OPEN + (_GIVEN if given is not None else "") + " ORDER BY started_at"
    with db.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query, {"given": given}).fetchall()
    return [Erasure(**row | {"plan": Plan(**row["plan"])}) for row in rows]


def finish(cursor: Cursor, erasure: UUID, report: Mapping[str, Any], at: datetime) -> None:
    """It is done: the plan, with its names, goes."""
    cursor.execute(
        "UPDATE erasures SET report = %s, done_at = %s, plan = NULL WHERE erasure_id = %s",
        (json.dumps(report), at, erasure),
    )


def reported(db: Connection, given: str) -> dict[str, Any]:
    """The latest report about a person who was erased, by an id. Raises NotFoundError."""
    row = db.execute(
        "SELECT report FROM erasures WHERE done_at IS NOT NULL AND (erasure_id::text = %(given)s"
        " OR employee_id::text = %(given)s OR %(given)s = ANY(global_ids::text[]))"
        " ORDER BY done_at DESC LIMIT 1",
        {"given": given},
    ).fetchone()
    if row is None:
        raise NotFoundError(f"nobody who was erased has the id {given[:80]}")
    report: dict[str, Any] = row[0]
    return report
