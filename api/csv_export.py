"""Logs as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.app_context import AppContext
from api.pagination import Conditions, Table, read_all
from sightline.audit import trail
from sightline.runtime.display_zone import DisplayZone

CSV = "text/csv"

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that spreadsheets run as formulas: an apostrophe is put before them."""

_CHUNK_CHARACTERS = 32 * 1024

DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or all rows as CSV",
        "content": {CSV: {"schema": {"type": "string"}}},
    }
}


def _wants_csv(
    accept: Annotated[str, Header(description="`text/csv` for all rows as CSV")] = "",
    kind: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description="instead of Accept")
    ] = None,
) -> bool:
    return kind == "csv" or (kind is None and CSV in accept.lower())


WantsCsv = Annotated[bool, Depends(_wants_csv)]


def export(
    context: AppContext,
    kind: type[BaseModel],
    table: Table,
    conditions: Conditions,
    after: str | None,
) -> StreamingResponse:
    """Return all rows that meet the conditions as CSV, streamed.

    Times are in the zone of the settings, with their offset.
    """
    columns = list(kind.model_fields)
    trail.add_subject(everybody="export")
    with ExitStack() as opening:
        rows = read_all(opening.enter_context(context.db()), table, conditions, after)
        first = list(islice(rows, 1))  # a query that fails does so before the answer has begun
        closing = opening.pop_all()
    return StreamingResponse(
        _lines(columns, chain(first, rows), closing, context.zone),
        media_type=CSV,
        headers={"Content-Disposition": f'attachment; filename="{table.source}.csv"'},
    )


def _lines(
    columns: list[str], rows: Iterable[dict[str, Any]], closing: ExitStack, zone: DisplayZone
) -> Iterator[str]:
    with closing:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row[column], zone) for column in columns])
            if text.tell() > _CHUNK_CHARACTERS:
                yield text.getvalue()
                text.seek(0)
                text.truncate()
        yield text.getvalue()


def _cell(value: Any, zone: DisplayZone) -> Any:
    if isinstance(value, datetime):
        return zone.local(value).isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={count}" for name, count in sorted(value.items()))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
