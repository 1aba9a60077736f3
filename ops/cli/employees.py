"""Commands about employees: list, show, set, remove, refresh, backup, restore."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.models import ModelsOption, with_models
from ops.cli.outbox_delivery import deliver_outbox
from ops.terminal import (
    JsonOption,
    console,
    print_fields,
    print_json,
    print_line,
    print_rows,
    progress_console,
)
from sightline.audit import trail
from sightline.people import employee_changes, employee_lookup, employees
from sightline.people.employees import EmployeeProfile
from sightline.people.names import checked_name
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

if TYPE_CHECKING:
    from ops.backup.employee_backup import BackupCounts

app = typer.Typer(name="employees", help="Employees: the persons who are enrolled.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The person's name, NAME (CODE), or the code.")
]
Department = Annotated[str | None, typer.Option(help="Their department.")]
Email = Annotated[str | None, typer.Option(help="Their e-mail address, unique.")]
Code = Annotated[
    str | None,
    typer.Option(help="Their staff number, unique; it tells two people of one name apart."),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


class EmployeeStatus(StrEnum):
    """Status of an employee; only active employees are ever authorised."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LEFT = "left"


@app.callback(invoke_without_command=True)
def _employees(context: typer.Context, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_employees(as_json)


@app.command("list")
@audited("employees.list")
def list_employees(as_json: JsonOption = False) -> None:
    """List all employees."""
    with connect(load_settings()) as db:
        rows = employees.list_employees(db)
    trail.write_before_showing(everybody=len(rows))
    if not as_json:
        rows = [_brief(row) for row in rows]
    print_rows(rows, title="Employees", as_json=as_json)


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of an employee that fit into a table."""
    return {
        "name": row["name"],
        "code": row["employee_id_code"],
        "status": row["status"],
        "may enter": "yes" if row["is_authorized"] else "no",
        "department": row["department"],
        "e-mail": row["email"],
        "photos": row["photos"],
        "packs": ", ".join(row["packs"]),
        "last seen": row["last_seen"],
    }


@app.command("show")
@audited("employees.show")
def show(name: Name, as_json: JsonOption = False) -> None:
    """Show one employee and their templates."""
    with connect(load_settings()) as db:
        reference = employee_lookup.get(db.cursor(), name)
        person = employees.get_employee(db, reference.person_id)
    trail.write_before_showing([person])
    if as_json:
        print_json(person)
        return
    templates = person.pop("templates")
    print_fields(person, reference.label)
    print_rows(templates, title="Templates")


@app.command("set")
@audited("employees.set")
def set_details(
    name: Name,
    status: Annotated[EmployeeStatus | None, typer.Option(help="Their status.")] = None,
    authorized: Annotated[
        bool | None, typer.Option("--authorized/--not-authorized", help="Whether they may come in.")
    ] = None,
    department: Department = None,
    email: Email = None,
    code: Code = None,
) -> None:
    """Change the details of an employee; running matchers know it within seconds."""
    settings = load_settings()
    details = EmployeeProfile(department, email, code, status and status.value, authorized)
    if not details.changes():
        raise SightlineError("nothing to change; see `sightline employees set --help`")
    changed = employee_changes.change(settings, checked_name(name), details)
    deliver_outbox(settings)
    console.print(f"{name} changed" if changed else f"{name} is that already")


@app.command("remove")
@audited("employees.remove")
def remove(name: Name) -> None:
    """Remove an employee: record, templates, photos, and the name on snapshots."""
    settings = load_settings()
    photos = employee_changes.remove(settings, name)
    deliver_outbox(settings)
    console.print(f"{name} removed, with {photos} photos")


@app.command("refresh")
@audited("employees.refresh")
def refresh(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """Embed all stored photos with the current model pack.

    Embeddings of two packs are never compared: after a change of pack nobody is recognised until
    this is done.
    """
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people.enrol import refresh_templates  # noqa: PLC0415 - loads model runtimes

    settings = with_models(load_settings(), models)
    with progress_console.status("embedding photos"):
        results = list(refresh_templates(settings, load_pack(settings)))
    deliver_outbox(settings)
    trail.add_subject(everybody=len(results))
    rows = [asdict(result) | {"refused": list(result.refused)} for result in results]
    print_rows(rows, title="Refreshed", as_json=as_json)
    if any(result.refused for result in results):
        raise SightlineError("some photos cannot be used with this pack; enrol others")


@app.command("backup")
@audited("employees.backup")
def backup(file: File, as_json: JsonOption = False) -> None:
    """Save employees and the persons that the cameras have met, with their faces, in one file.

    Biometric data, readable by its owner alone and not encrypted. Photos, snapshots and logs are
    not in it.
    """
    from ops.backup.employee_backup import backup as save_people  # noqa: PLC0415 - slow to load

    with progress_console.status("writing"):
        saved = save_people(load_settings(), file)
    trail.add_subject(everybody=saved.employees + saved.persons)
    _print_saved(f"{file} holds", saved, as_json)


@app.command("restore")
@audited("employees.restore")
def restore(
    file: File,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove employees who are not in the backup.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore everybody of a backup, all or nobody; running matchers know them at once."""
    from ops.backup.employee_backup import restore as restore_people  # noqa: PLC0415

    settings = load_settings()
    with progress_console.status("restoring"):
        saved = restore_people(settings, file, replace=replace)
    trail.add_subject(everybody=saved.employees + saved.persons)
    deliver_outbox(settings)
    _print_saved("restored:", saved, as_json)


def _print_saved(verb: str, saved: "BackupCounts", as_json: bool) -> None:
    if as_json:
        print_json(asdict(saved))
        return
    print_line(
        f"{verb} {saved.employees} people with {saved.templates} templates, and {saved.persons}"
        f" whom the cameras have met on {saved.tracks} tracks"
    )
