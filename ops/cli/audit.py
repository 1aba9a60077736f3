"""`sightline audit`: list, verify and export the audit trail."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.logs import LimitOption, SinceOption, parse_time
from ops.terminal import JsonOption, console, print_json, print_rows
from sightline.audit import keys, trail, trail_reader
from sightline.audit.trail_reader import TrailQuery, Verification
from sightline.people import persons
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(
    name="audit", help="The audit trail: every access to personal data.", no_args_is_help=True
)


@app.command("list")
@audited("audit.list")
def list_lines(
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option(help="Only before this moment.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this actor: an id or a name.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, or a group of actions: employees.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="Only about this person: a global id, a name, or a code.")
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List audited actions, latest first: time, actor, address, action and purpose."""
    with connect(load_settings()) as db, db.cursor() as cursor:
        person_id = persons.find_person(cursor, person) if person else None
        query = TrailQuery(
            parse_time(since), parse_time(until, "--until"), actor, action, person_id, limit=limit
        )
        rows = trail_reader.list_lines(db, query)
    trail.write_before_showing(persons=[person_id] if person_id else [], rows=len(rows))
    print_rows(rows if as_json else [_brief(row) for row in rows], title="Audit", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a line that fit into a table."""
    about = row["about"]
    return {
        "line": row["line"],
        "time": row["at"],
        "who": f"{row['actor_kind']} {row['actor_name']}",
        "from": row["address"],
        "did": row["action"],
        "outcome": row["outcome"],
        "about": ", ".join(f"{name} {_shortened(value)}" for name, value in about.items()),
        "what for": row["purpose"],
    }


def _shortened(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    first = " ".join(map(str, value[:3]))
    return first if len(value) <= 3 else f"{first} and {len(value) - 3} more"


@app.command()
@audited("audit.verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export, instead of the trail.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify that no line was changed and none is missing; exit status 1 if not."""
    settings = load_settings()
    result = _verify_export(file) if file else trail_reader.verify(settings)
    trail.add_subject(lines=result.lines, flaws=len(result.flaws))
    if as_json:
        print_json(asdict(result))
    else:
        for flaw in result.flaws:
            console.print(f"line {flaw.line} {flaw.kind}: {flaw.detail}")
    if result.flaws:
        raise SightlineError(f"the audit trail is not as it was written: {result.flaws[0].detail}")
    if not as_json:
        console.print(f"{result.lines} lines, each as it was written, none missing")


def _verify_export(file: Path) -> Verification:
    try:
        with file.open() as lines:
            return trail_reader.verify_export(lines, keys.trusted_keys(load_settings()))
    except (OSError, ValueError) as error:
        raise SightlineError(f"{file} is no export of the trail: {error}") from error


@app.command()
@audited("audit.export")
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="File to write; printed if absent.")
    ] = None,
) -> None:
    """Export the whole trail, a line of JSON each, with hashes and signatures."""
    settings = load_settings()
    trail.write_before_showing()
    if file is None:
        trail_reader.export(settings, sys.stdout)
        return
    try:
        with file.open("x") as out:
            file.chmod(0o600)
            count = trail_reader.export(settings, out)
    except OSError as error:
        raise SightlineError(f"cannot write {file}: {error.strerror}") from error
    console.print(f"{count} lines in {file}")


@app.command()
def key() -> None:
    """Print the public key that signs the trail and erasure reports: keep a copy elsewhere."""
    typer.echo(keys.public_text(keys.signing_key(load_settings()).public))
