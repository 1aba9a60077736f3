"""Commands about persons that the cameras have met: list, show, correct."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

import typer

from ops.cli.audited import audited
from ops.cli.logs import LimitOption
from ops.cli.operator_name import operator_name
from ops.cli.outbox_delivery import deliver_outbox
from ops.terminal import JsonOption, print_fields, print_json, print_result, print_rows
from sightline.audit import trail
from sightline.people import corrections, persons
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import Cursor, connect

app = typer.Typer(
    name="persons", help="Persons that the cameras have met, employees and unknown persons."
)

Person = Annotated[
    str, typer.Argument(metavar="ID", help="A global id, a name, NAME (CODE), or a code.")
]


@app.callback(invoke_without_command=True)
def _persons(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_persons()


@app.command("list")
@audited("persons.list")
def list_persons(
    active: Annotated[
        bool, typer.Option("--active", help="Only persons who are here now.")
    ] = False,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List all persons, last seen first."""
    with connect(load_settings()) as db:
        rows = persons.list_persons(db, active=active or None, limit=limit)
    trail.write_before_showing(rows)
    print_rows(rows if as_json else [_brief(row) for row in rows], title="Persons", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a person that fit into a table."""
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
    """Show one person and their latest tracks."""
    with connect(load_settings()) as db, db.cursor() as cursor:
        details = persons.read_person(db, persons.find_person(cursor, person))
    trail.write_before_showing([details])
    if as_json:
        print_json(details)
        return
    tracks = details.pop("tracks")
    print_fields(details, f"Person {details['global_id']}")
    print_rows(tracks, title="Tracks")


@app.command()
@audited("persons.name")
def name(
    person: Person,
    new_name: Annotated[str, typer.Argument(metavar="NAME", help="Their name.")],
    as_json: JsonOption = False,
) -> None:
    """Name an unknown person; past rows of the logs follow."""
    with _correcting() as cursor:
        global_id = persons.find_person(cursor, person)
        corrections.name_person(cursor, global_id, new_name, operator_name())
        trail.write_entry(cursor, global_id)
    result = {"global_id": global_id, "name": new_name}
    print_result(result, f"{global_id} is called {new_name}", as_json=as_json)


@app.command()
@audited("persons.merge")
def merge(
    person: Person,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The other person: an id or a name.")],
    as_json: JsonOption = False,
) -> None:
    """Merge an unknown person into another person, or into an employee."""
    with _correcting() as cursor:
        source_id, target_id = (
            persons.find_person(cursor, person),
            persons.find_person(cursor, into),
        )
        corrections.merge(cursor, source_id, target_id, operator_name())
        trail.write_entry(cursor, source_id, target_id)
    result = {"global_id": source_id, "merged_into": target_id}
    print_result(result, f"{source_id} is {target_id}", as_json=as_json)


@app.command()
@audited("persons.split")
def split(
    person: Person,
    tracks: Annotated[list[str], typer.Argument(metavar="TRACK...", help="Ids of tracks.")],
    as_json: JsonOption = False,
) -> None:
    """Split some tracks of a person off as another person."""
    track_ids = [_parse_track_id(track) for track in tracks]
    with _correcting() as cursor:
        global_id = persons.find_person(cursor, person)
        new_id = corrections.split(cursor, global_id, track_ids, operator_name())
        trail.add_subject(tracks=track_ids)
        trail.write_entry(cursor, global_id, new_id)
    result = {"global_id": global_id, "new_global_id": new_id, "tracks": track_ids}
    print_result(result, f"{len(track_ids)} tracks of {global_id} were {new_id}", as_json=as_json)


@app.command()
@audited("persons.reject")
def reject(
    track: Annotated[str, typer.Argument(metavar="TRACK", help="The id of a track.")],
    as_json: JsonOption = False,
) -> None:
    """Reject the identity of a track; the two are never taken for each other again."""
    track_id = _parse_track_id(track)
    with _correcting() as cursor:
        new_id = corrections.reject_identity(cursor, track_id, operator_name())
        trail.add_subject(tracks=[track_id])
        trail.write_entry(cursor, new_id)
    result = {"track": track_id, "new_global_id": new_id}
    print_result(result, f"track {track_id} was {new_id}", as_json=as_json)


@app.command()
@audited("persons.forget")
def forget(person: Person, as_json: JsonOption = False) -> None:
    """Forget the face and the name of an unknown person; the logs keep what happened."""
    with _correcting() as cursor:
        global_id = persons.find_person(cursor, person)
        corrections.forget(cursor, global_id, operator_name())
        trail.write_entry(cursor, global_id)
    result = {"global_id": global_id, "forgotten": True}
    print_result(result, f"{global_id} is forgotten", as_json=as_json)


@app.command()
@audited("persons.history")
def history(limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List corrections, latest first."""
    with connect(load_settings()) as db:
        rows = persons.list_corrections(db, limit=limit)
    trail.write_before_showing(persons=_persons_in(rows), rows=len(rows))
    print_rows(rows, title="Corrections", as_json=as_json)


def _persons_in(rows: list[dict[str, Any]]) -> list[int]:
    """Return the global ids of the persons that corrections are about."""
    keys = ("global_id", "new", "source", "target")
    return [row["details"][key] for row in rows for key in keys if key in row["details"]]


@contextmanager
def _correcting() -> Iterator[Cursor]:
    """Run a block in a transaction; deliver the outbox after the commit."""
    settings = load_settings()
    with connect(settings) as db, db.cursor() as cursor:
        yield cursor
    deliver_outbox(settings)


def _parse_track_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SightlineError(f"{text[:80]} is no id of a track; see `persons show`") from None
