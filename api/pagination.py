"""Rows in pages, by key: rows that are added meanwhile move nothing between pages."""

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
from sightline.storage.db import Connection, dict_rows

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_MAX_CURSOR_CHARACTERS = 1000
_EXPORT_ROWS = 1000
"""Fetched at once."""

Limit = Annotated[int, Query(ge=1, le=1000, description="rows of one page")]
After = Annotated[
    str | None,
    Query(
        alias="cursor",
        max_length=_MAX_CURSOR_CHARACTERS,
        description="`next` of the page before this one",
    ),
]
Conditions = Sequence[tuple[str, object]]
"""Each is SQL with one placeholder and its value; None leaves the condition out."""


class Page(BaseModel, Generic[T]):
    """Rows in order; `next` is the cursor of the following page, null on the last one."""

    items: list[T]
    next: str | None


def columns_of(kind: type[BaseModel], **computed: str) -> str:
    """Return the columns of a model; `computed` has the SQL of those that no column has."""
    return ", ".join(
        f"{computed[name]} AS {name}" if name in computed else name for name in kind.model_fields
    )


@dataclass(frozen=True, slots=True)
class Table:
    """A source of rows and their order: by one column, then by the id that makes it unique."""

    source: str  # table, or tables joined
    columns: str
    order: str
    order_type: str
    id: str
    id_type: str
    descending: bool = True

    def query(self, conditions: Conditions, after: str | None) -> tuple[sql.SQL, list[object]]:
        """Return the query for the rows that meet the conditions, after a cursor.

        Raises:
            SightlineError: The cursor is none of ours.
        """
        active = [(text, value) for text, value in conditions if value is not None]
        where, values = [text for text, _ in active], [value for _, value in active]
        if after is not None:
            compare = "<" if self.descending else ">"
            where.append(
                f"({self.order}, {self.id}) {compare} (%s::{self.order_type}, %s::{self.id_type})"
            )
            values += _decoded(after)
        direction = "DESC" if self.descending else "ASC"
        text = (
            f"SELECT {self.columns} FROM {self.source} WHERE {' AND '.join(where) or 'true'}"  # noqa: S608 - our own texts
            f" ORDER BY {self.order} {direction}, {self.id} {direction}"
        )
        return sql.SQL(text), values


def read_page(
    db: Connection, table: Table, conditions: Conditions, limit: int, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page's rows and the cursor of the next, None on the last page."""
    query, values = table.query(conditions, after)
    rows = dict_rows(db, query + sql.SQL(" LIMIT %s"), [*values, limit + 1])
    trail.add_read_rows(rows[:limit])
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    last = rows[-1]
    return rows, _encoded(last[table.order.split(".")[-1]], last[table.id.split(".")[-1]])


def read_models(
    db: Connection, kind: type[M], table: Table, where: Conditions, limit: int, after: str | None
) -> Page[M]:
    """Return one page of rows as models."""
    rows, following = read_page(db, table, where, limit, after)
    return Page[M](items=[kind.model_validate(row) for row in rows], next=following)


def read_all(
    db: Connection, table: Table, conditions: Conditions, after: str | None
) -> Iterator[dict[str, Any]]:
    """Yield every row, fetched in batches by a cursor in the database."""
    query, values = table.query(conditions, after)
    with db.cursor("export", row_factory=dict_row) as cursor:
        cursor.itersize = _EXPORT_ROWS
        yield from cursor.execute(query, values)


def _encoded(*key: object) -> str:
    text = json.dumps([str(part) for part in key], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> list[object]:
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if not (isinstance(key, list) and len(key) == 2 and all(type(part) is str for part in key)):
        raise SightlineError("this cursor is none: give `next` of the page before")
    return list(key)
