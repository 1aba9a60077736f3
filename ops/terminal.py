"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

console = Console()
progress_console = Console(stderr=True)
"""Progress goes to stderr: stdout holds results alone."""


def _plain(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False))


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str, as_json: bool) -> None:
    """Rows as a table or as one JSON list."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, overflow="fold")  # nothing is left out
    for row in rows:
        table.add_row(*("" if value is None else Text(_shown(value)) for value in row.values()))
    console.print(table)


def print_details(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Print a line below a table for each of its rows that has a `detail`, with its `state`."""
    for name, row in rows:
        if row["detail"]:
            line = printable(f"{name}: {row['state']}: {row['detail']}")
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    return printable(str(value))


def printable(text: str) -> str:
    """Text that came from outside, without what a terminal would take for an order."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
