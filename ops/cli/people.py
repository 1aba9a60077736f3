"""Commands about people who are enrolled: list, show, set, remove, refresh, backup."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.delivery import publish
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.audit import trail
from sightline.people import employee_changes, employees
from sightline.people.employees import Details
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect

if TYPE_CHECKING:
    from ops.backup.employee_backup import Saved

app = typer.Typer(help="The people who are enrolled.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name.", show_default=False)]
Department = Annotated[str | None, typer.Option(help="Where they work.")]
Email = Annotated[str | None, typer.Option(help="Their e-mail address, nobody else's.")]
Code = Annotated[str | None, typer.Option(help="Their employee id code, nobody else's.")]
Models = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A folder of ONNX files instead of a pack.")
]


File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


class Status(StrEnum):
    """What a person's status can be; only active people are ever authorised."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="people")


@app.callback(invoke_without_command=True)
def _people(context: typer.Context, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_people(as_json)


@app.command("list")
@audited("people.list")
def list_people(as_json: JsonOption = False) -> None:
    """Everybody who is enrolled."""
    with connect(load_settings()) as db:
        rows = employees.listed(db)
    trail.shown(everybody=len(rows))
    if not as_json:
        rows = [_brief(row) for row in rows]
    print_rows(rows, title="People", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """What of a person fits into a line."""
    return {
        "name": row["name"],
        "status": row["status"],
        "may enter": "yes" if row["is_authorized"] else "no",
        "department": row["department"],
        "e-mail": row["email"],
        "photos": row["photos"],
        "packs": ", ".join(row["packs"]),
        "last seen": row["last_seen"],
    }


@app.command("show")
@audited("people.show")
def show(name: Name, as_json: JsonOption = False) -> None:
    """One person and their templates."""
    with connect(load_settings()) as db:
        person = employees.shown(db, name)
    trail.shown([person])
    if as_json:
        print_json(person)
        return
    templates = person.pop("templates")
    rows = [{"what": key, "is": value} for key, value in person.items() if value is not None]
    print_rows(rows, title=name, as_json=False)
    print_rows(templates, title="Templates", as_json=False)


@app.command("set")
@audited("people.set")
def set_details(
    name: Name,
    status: Annotated[Status | None, typer.Option(help="Their status.")] = None,
    authorized: Annotated[
        bool | None,
        typer.Option("--authorized/--not-authorized", help="Whether they may come in."),
    ] = None,
    department: Department = None,
    email: Email = None,
    code: Code = None,
) -> None:
    """Change what is kept of a person; running matchers know it within seconds."""
    settings = load_settings()
    details = Details(department, email, code, status and status.value, authorized)
    if not details.given():
        raise SightlineError("nothing to change; see `sightline people set --help`")
    changed = employee_changes.change(settings, employees.checked_name(name), details)
    publish(settings)
    console.print(f"{name} changed" if changed else f"{name} is that already")


@app.command("remove")
@audited("people.remove")
def remove(name: Name) -> None:
    """Forget a person: their record, templates, photos, and their name on snapshots."""
    settings = load_settings()
    photos = employee_changes.remove(settings, name)
    publish(settings)
    console.print(f"{name} removed, with {photos} photos")


@app.command("refresh")
@audited("people.refresh")
def refresh(models: Models = None, as_json: JsonOption = False) -> None:
    """Embed everybody's stored photos with the current model pack.

    Vectors of two packs never meet: after a change of pack nobody is known until this is done.
    """
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people.enrol import refresh as do  # noqa: PLC0415 - loads model runtimes

    settings = settings_with(models)
    with progress_console.status("embedding photos"):
        done = list(do(settings, load_pack(settings)))
    publish(settings)
    trail.about(everybody=len(done))
    rows = [asdict(one) | {"refused": list(one.refused)} for one in done]
    print_rows(rows, title="Refreshed", as_json=as_json)
    if any(one.refused for one in done):
        raise SightlineError("some photos cannot be used with this pack; enrol others")


@app.command("backup")
@audited("people.backup")
def backup(file: File, as_json: JsonOption = False) -> None:
    """Keep who is enrolled and whom the cameras have met, with their faces, in one file.

    Biometric data, readable by its owner alone and not encrypted. Photos, snapshots and logs are
    not in it.
    """
    from ops.backup.employee_backup import backup as keep  # noqa: PLC0415 - takes its time

    with progress_console.status("writing"):
        saved = keep(load_settings(), file)
    trail.about(everybody=saved.people + saved.met)
    _say_saved(f"{file} holds", saved, as_json)


@app.command("restore")
@audited("people.restore")
def restore(
    file: File,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove who is enrolled and not in the backup.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring everybody of a backup back, all or nobody; running matchers know them at once."""
    from ops.backup.employee_backup import restore as bring_back  # noqa: PLC0415

    settings = load_settings()
    with progress_console.status("restoring"):
        saved = bring_back(settings, file, replace=replace)
    trail.about(everybody=saved.people + saved.met)
    publish(settings)
    _say_saved("restored:", saved, as_json)


def _say_saved(what: str, saved: "Saved", as_json: bool) -> None:
    if as_json:
        print_json(asdict(saved))
        return
    console.print(
        f"{what} {saved.people} people with {saved.templates} templates, and {saved.met} whom the"
        f" cameras have met on {saved.tracks} tracks",
        soft_wrap=True,
    )


def settings_with(models: Path | None) -> Settings:
    """The settings, with the models of a folder where one is given."""
    settings = load_settings()
    return settings.model_copy(update={"models": models}) if models else settings
