"""Commands about persons whom the cameras have met: list, show, correct."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import typer

from ops.cli.audited import audited
from ops.cli.caller import caller
from ops.cli.delivery import publish
from ops.terminal import JsonOption, console, print_json, print_rows
from sightline.audit import trail
from sightline.people import corrections, persons
from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(help="The persons whom the cameras have met, known and unknown.")

Person = Annotated[
    str, typer.Argument(metavar="ID", help="A global id, or a name.", show_default=False)
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="persons")


@app.callback(invoke_without_command=True)
def _persons(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_persons()


@app.command("list")
@audited("persons.list")
def list_persons(
    active: Annotated[bool, typer.Option("--active", help="Only who is here now.")] = False,
    limit: Limit = 50,
    as_json: JsonOption = False,
) -> None:
    """Everybody, last seen first."""
    with connect(load_settings()) as db:
        rows = persons.listed(db, active=active or None, limit=limit)
    trail.shown(rows)
    print_rows(rows if as_json else [_brief(row) for row in rows], title="Persons", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """What of a person fits into a line."""
    return {
        "person": row["global_id"],
        "name": row["assigned_name"] or "Unknown",
        "enrolled": "yes" if row["person_id"] else "no",
        "here": "yes" if row["is_active"] else "no",
        "last seen": row["last_seen"],
        "tracks": row["total_appearances"],
        "cameras": ", ".join(row["cameras_visited"]),
    }


@app.command()
@audited("persons.show")
def show(person: Person, as_json: JsonOption = False) -> None:
    """One person and their latest tracks."""
    with connect(load_settings()) as db, db.cursor() as cursor:
        found = persons.shown(db, persons.find(cursor, person))
    trail.shown([found])
    if as_json:
        print_json(found)
        return
    tracks = found.pop("tracks")
    rows = [{"what": key, "is": value} for key, value in found.items() if value not in (None, [])]
    print_rows(rows, title=f"Person {found['global_id']}", as_json=False)
    print_rows(tracks, title="Tracks", as_json=False)


@app.command()
@audited("persons.name")
def name(
    person: Person,
    new_name: Annotated[str, typer.Argument(metavar="NAME", help="What to call them.")],
    as_json: JsonOption = False,
) -> None:
    """Give a name to somebody whom nobody has enrolled; past logs say it too."""
    with _correcting() as cursor:
        who = persons.find(cursor, person)
        corrections.name_person(cursor, who, new_name, caller())
        trail.seal(cursor, who)
    _say({"global_id": who, "name": new_name}, f"{who} is called {new_name}", as_json)


@app.command()
@audited("persons.merge")
def merge(
    person: Person,
    into: Annotated[str, typer.Argument(metavar="INTO", help="Who they are: an id or a name.")],
    as_json: JsonOption = False,
) -> None:
    """Say that a stranger is the same person as another, or as somebody enrolled."""
    with _correcting() as cursor:
        source, target = persons.find(cursor, person), persons.find(cursor, into)
        corrections.merge(cursor, source, target, caller())
        trail.seal(cursor, source, target)
    _say({"global_id": source, "merged_into": target}, f"{source} is {target}", as_json)


@app.command()
@audited("persons.split")
def split(
    person: Person,
    tracks: Annotated[list[str], typer.Argument(metavar="TRACK...", help="Ids of tracks.")],
    as_json: JsonOption = False,
) -> None:
    """Say that some tracks of a person were one other person."""
    chosen = [_track(track) for track in tracks]
    with _correcting() as cursor:
        who = persons.find(cursor, person)
        new = corrections.split(cursor, who, chosen, caller())
        trail.about(tracks=chosen)
        trail.seal(cursor, who, new)
    told = {"global_id": who, "new_global_id": new, "tracks": chosen}
    _say(told, f"{len(chosen)} tracks of {who} were {new}", as_json)


@app.command("not")
@audited("persons.not")
def not_this_person(
    track: Annotated[str, typer.Argument(metavar="TRACK", help="The id of a track.")],
    as_json: JsonOption = False,
) -> None:
    """Say that a track was not whom the logs name; the two are never mistaken again."""
    chosen = _track(track)
    with _correcting() as cursor:
        new = corrections.not_this_person(cursor, chosen, caller())
        trail.about(tracks=[chosen])
        trail.seal(cursor, new)
    _say({"track": chosen, "new_global_id": new}, f"track {chosen} was {new}", as_json)


@app.command()
@audited("persons.forget")
def forget(person: Person, as_json: JsonOption = False) -> None:
    """Forget how a stranger looks and what they were called; logs keep what happened."""
    with _correcting() as cursor:
        who = persons.find(cursor, person)
        corrections.forget(cursor, who, caller())
        trail.seal(cursor, who)
    _say({"global_id": who, "forgotten": True}, f"{who} is forgotten", as_json)


@app.command()
@audited("persons.history")
def history(limit: Limit = 50, as_json: JsonOption = False) -> None:
    """What was corrected, when and by whom; latest first."""
    with connect(load_settings()) as db:
        rows = persons.history(db, limit=limit)
    trail.shown(persons=_persons_in(rows), rows=len(rows))
    print_rows(rows, title="Corrections", as_json=as_json)


def _persons_in(rows: list[dict[str, Any]]) -> list[int]:
    """Whom corrections are about."""
    named = ("global_id", "new", "source", "target")
    return [row["details"][name] for row in rows for name in named if name in row["details"]]


@contextmanager
def _correcting() -> Iterator[Cursor]:
    """A transaction; what it wants published is published after it."""
    settings = load_settings()
    with connect(settings) as db, db.cursor() as cursor:
        yield cursor
    publish(settings)


def _track(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise SightlineError(f"{given[:80]} is no id of a track; see `persons show`") from None


def _say(told: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        console.print(line, highlight=False, markup=False)
