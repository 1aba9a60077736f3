"""`sightline audit`: who read or changed whose data, and whether anybody has touched the trail."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.logs import LimitOption, SinceOption, moment
from ops.terminal import JsonOption, console, print_json, print_rows
from sightline.audit import keys, read, trail
from sightline.audit.read import Asked, Checked
from sightline.people import persons
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer(help="Who read or changed whose data.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="audit")


@app.command("list")
@audited("audit.list")
def list_lines(
    since: SinceOption = None,
    until: Annotated[str | None, typer.Option(help="Only before this moment.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only by this one: an id or a name.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, or all that begin so: people.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="Only about this person: a global id, or a name.")
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Who did what, when, what for and from where; latest first."""
    with connect(load_settings()) as db, db.cursor() as cursor:
        about = persons.find(cursor, person) if person else None
        asked = Asked(moment(since), moment(until, "--until"), actor, action, about, limit=limit)
        rows = read.listed(db, asked)
    trail.shown(persons=[about] if about else [], rows=len(rows))
    print_rows(rows if as_json else [_brief(row) for row in rows], title="Audit", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """What of a line fits into a line."""
    about = row["about"]
    return {
        "line": row["line"],
        "time": row["at"],
        "who": f"{row['actor_kind']} {row['actor_name']}",
        "from": row["address"],
        "did": row["action"],
        "outcome": row["outcome"],
        "about": ", ".join(f"{name} {_short(value)}" for name, value in about.items()),
        "what for": row["purpose"],
    }


def _short(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    few = " ".join(map(str, value[:3]))
    return few if len(value) <= 3 else f"{few} and {len(value) - 3} more"


@app.command()
@audited("audit.verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export, instead of the trail.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Whether every line is as it was written, and none is missing; exit status 1 where not."""
    settings = load_settings()
    checked = _verified(file) if file else read.verify(settings)
    trail.about(lines=checked.lines, flaws=len(checked.flaws))
    if as_json:
        print_json(asdict(checked))
    else:
        for flaw in checked.flaws:
            console.print(f"line {flaw.line} {flaw.what}: {flaw.detail}", markup=False)
    if checked.flaws:
        raise SightlineError(f"the audit trail is not as it was written: {checked.flaws[0].detail}")
    if not as_json:
        console.print(f"{checked.lines} lines, each as it was written, none missing")


def _verified(file: Path) -> Checked:
    try:
        with file.open() as copy:
            return read.verify_export(copy, keys.trusted(load_settings()))
    except (OSError, ValueError) as error:
        raise SightlineError(f"{file} is no export of the trail: {error}") from error


@app.command()
@audited("audit.export")
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; else printed.")
    ] = None,
) -> None:
    """The whole trail, a line of JSON each, with hashes and signatures."""
    settings = load_settings()
    trail.shown()
    if file is None:
        read.export(settings, sys.stdout)
        return
    try:
        with file.open("x") as out:
            file.chmod(0o600)
            count = read.export(settings, out)
    except OSError as error:
        raise SightlineError(f"cannot write {file}: {error.strerror}") from error
    console.print(f"{count} lines in {file}")


@app.command()
def key() -> None:
    """The public key that signs the trail and the reports of erasures: keep it elsewhere too."""
    typer.echo(keys.told(keys.signer(load_settings()).public))
