"""Print the results of commands: tables for a reader, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sightline.people.names import is_printable
from sightline.runtime.display_zone import DisplayZone
from sightline.runtime.settings import load_settings

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Names are printed as they are: "[contractor]" is no markup, ":key:" no symbol.
console = Console(markup=False, emoji=False, highlight=False)
progress_console = Console(stderr=True, markup=False, emoji=False, highlight=False)
"""Console for progress, on stderr: stdout holds results alone."""


def display_zone() -> DisplayZone:
    """Return the zone of times that are printed and typed."""
    return DisplayZone.of(load_settings())


def typed_time(text: str) -> datetime:
    """Return the moment of an ISO time, in the zone of `display_zone` if it states no offset.

    Raises ValueError.
    """
    return display_zone().aware(datetime.fromisoformat(text))


def _json_value(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is a date too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on stdout."""
    typer.echo(json.dumps(value, default=_json_value, ensure_ascii=False))


def print_rows(rows: Sequence[Mapping[str, Any]], *, title: str, as_json: bool = False) -> None:
    """Print rows as a table, or as one JSON list.

    Times in a table are in the zone of `display_zone`, and the title names it.
    """
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        console.print(f"{title}: none")
        return
    zone = display_zone()
    moments = [value for row in rows for value in row.values() if isinstance(value, datetime)]
    if moments:
        title = f"{title} ({zone.name(moments[0])})"
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, overflow="fold")  # long values wrap instead of being cut
    for row in rows:
        table.add_row(
            *("" if value is None else Text(_table_cell(value, zone)) for value in row.values())
        )
    console.print(table)


def print_fields(row: Mapping[str, Any], title: str) -> None:
    """Print a table with a line for each field of a row that has a value."""
    fields = [
        {"field": name, "value": value}
        for name, value in row.items()
        if value not in (None, [], {})
    ]
    print_rows(fields, title=title)


def print_result(result: Mapping[str, Any], line: str, *, as_json: bool) -> None:
    """Print the result of a command as JSON, or as a sentence."""
    if as_json:
        print_json(result)
    else:
        console.print(line)


def print_line(line: str, to: Console = console) -> None:
    """Print a line as it is, not wrapped."""
    to.print(line, soft_wrap=True)


def print_details(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Print a line below a table for each of its rows that has a `detail`, with its `state`."""
    for name, row in rows:
        if row["detail"]:
            print_line(printable(f"{name}: {row['state']}: {row['detail']}"))


def _table_cell(value: Any, zone: DisplayZone) -> str:
    if isinstance(value, datetime):
        return zone.local(value).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.2f}"
    return printable(str(value))


def printable(text: str) -> str:
    """Replace the characters of foreign text that a terminal may take for commands."""
    return "".join(
        character if is_printable(character) or character == "\n" else "\ufffd"
        for character in text
    )
