"""Rows in pages: each page says where the next one begins, whatever was added meanwhile."""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from psycopg import sql
from psycopg.rows import dict_row
from pydantic import BaseModel

from sightline.audit import trail
from sightline.runtime.errors import SightlineError
from sightline.storage.db import Connection

T = TypeVar("T")

_LONGEST_CURSOR = 1000
_EXPORT_ROWS = 1000

Limit = Annotated[int, Query(ge=1, le=1000, description="rows of one page")]
After = Annotated[
    str | None,
    Query(
        alias="cursor", max_length=_LONGEST_CURSOR, description="`next` of the page before this one"
    ),
]
Conditions = Sequence[tuple[str, object]]
"""SQL with one placeholder, and its value; None leaves the condition out."""


class Page(BaseModel, Generic[T]):
    """Rows in order; `next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """What is read, in what order: by one column, then by the id that makes it unique."""

    source: str  # table, or tables joined
    columns: str
    order: str
    order_type: str
    id: str
    id_type: str
    descending: bool = True

    def query(self, conditions: Conditions, after: str | None) -> tuple[sql.SQL, list[object]]:
        """The rows that meet the conditions, after a cursor. Raises SightlineError for one
        that is none of ours."""
        asked = [(text, value) for text, value in conditions if value is not None]
        where, values = [text for text, _ in asked], [value for _, value in asked]
        if after is not None:
            compare = "<" if self.descending else ">"
            where.append(
                f"({self.order}, {self.id}) {compare} (%s::{self.order_type}, %s::{self.id_type})"
            )
            values += _opened(after)
        way = "DESC" if self.descending else "ASC"
        text = (
            f"SELECT {self.columns} FROM {self.source} WHERE {' AND '.join(where) or 'true'}"  # noqa: S608 - our own words
            f" ORDER BY {self.order} {way}, {self.id} {way}"
        )
        return sql.SQL(text), values


def read_page(
    db: Connection, table: Table, conditions: Conditions, limit: int, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """One page's rows and the cursor of the next."""
    query, values = table.query(conditions, after)
    with db.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query + sql.SQL(" LIMIT %s"), [*values, limit + 1]).fetchall()
    trail.seen(rows[:limit])
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    last = rows[-1]
    return rows, _sealed(last[table.order.split(".")[-1]], last[table.id.split(".")[-1]])


def read_all(
    db: Connection, table: Table, conditions: Conditions, after: str | None
) -> Iterator[dict[str, Any]]:
    """Every row, read as it is asked for."""
    query, values = table.query(conditions, after)
    with db.cursor("export", row_factory=dict_row) as cursor:
        cursor.itersize = _EXPORT_ROWS
        yield from cursor.execute(query, values)


def _sealed(*place: object) -> str:
    text = json.dumps([str(part) for part in place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _opened(cursor: str) -> list[object]:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    if not (isinstance(place, list) and len(place) == 2 and all(type(one) is str for one in place)):
        raise SightlineError("this cursor is none: give `next` of the page before")
    return list(place)
