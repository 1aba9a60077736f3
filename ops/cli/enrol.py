"""`sightline enrol`: enrol one employee from photos, or a list of employees."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.cli.audited import audited
from ops.cli.employees import Code, Department, Email
from ops.cli.models import ModelsOption, with_models
from ops.cli.outbox_delivery import deliver_outbox
from ops.terminal import (
    JsonOption,
    console,
    print_json,
    print_line,
    print_rows,
    progress_console,
)
from sightline.people.employee_lookup import label_of
from sightline.people.employees import EmployeeProfile
from sightline.people.names import checked_name
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings

_DELIVERY_INTERVAL_SECONDS = 1.0
"""Longest time, about, that a running matcher waits for an employee of a list."""


app = typer.Typer()


@app.command("enrol")
@audited("enrol")
def enrol(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")] = "",
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="Photos with this one face.")
    ] = None,
    department: Department = None,
    email: Email = None,
    code: Code = None,
    not_authorized: Annotated[
        bool, typer.Option("--not-authorized", help="Enrolled, but not allowed to come in.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Accept photos that disagree, or that show another employee's face (twins).",
        ),
    ] = False,
    csv_path: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Enrol a list: columns name (or first and last name), photos, department, email, "
            "code, status, authorized; several photos with ; between.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            metavar="FOLDER",
            help="Folder of the list's photos; NAME.jpg for rows that name none.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Result of each row; the same list with the same report continues from there. "
            "Beside the list by default.",
        ),
    ] = None,
    models: ModelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol an employee from photos, or add photos to an employee.

    With --csv enrol or update all employees of a list.
    """
    details = EmployeeProfile(
        department, email, code, is_authorized=False if not_authorized else None
    )
    settings = with_models(load_settings(), models)
    if csv_path is not None:
        if name or photos or details.changes():
            raise SightlineError("with --csv everything about people is in the list")
        _enrol_list(settings, csv_path, folder or csv_path.parent, report, force, as_json)
        return
    if folder is not None or report is not None:
        raise SightlineError("--photos and --report belong to --csv")
    _enrol_one(settings, name, photos or [], details, force, as_json)


def _enrol_one(
    settings: Settings,
    name: str,
    photos: Sequence[Path],
    details: EmployeeProfile,
    force: bool,
    as_json: bool,
) -> None:
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people.enrol import enrol as enrol_photos  # noqa: PLC0415 - loads model runtimes
    from sightline.people.picture_files import read_photo  # noqa: PLC0415

    checked_name(name)
    if not photos:
        raise SightlineError("give at least one photo: sightline enrol NAME PHOTO...")
    with progress_console.status("looking at the photos"):
        images = [read_photo(path) for path in photos]
        result = enrol_photos(settings, load_pack(settings), name, images, details, force=force)
    deliver_outbox(settings)
    if as_json:
        print_json(asdict(result))
        return
    verb = "enrolled with" if result.is_new else "was enrolled already; added"
    label = label_of(result.name, result.code)
    console.print(f"{label} {verb} {result.added} of {len(photos)} photos ({result.pack})")
    for global_id in result.linked:
        console.print(f"the cameras have met {label} before, as {global_id}")


def _enrol_list(
    settings: Settings,
    csv_path: Path,
    folder: Path,
    report_path: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    from ops.enrolment.bulk import EnrolmentReport, enrol_all  # noqa: PLC0415 - loads model runtimes
    from ops.enrolment.csv_import import read_rows  # noqa: PLC0415
    from sightline.models.packs import load_pack  # noqa: PLC0415

    rows = read_rows(csv_path, lambda note: print_line(note, progress_console))
    path = report_path or csv_path.with_name(f"{csv_path.stem}-report.csv")
    report = EnrolmentReport(path)
    pack = load_pack(settings)
    done_before = 0
    try:
        with _progress_bar() as progress:
            task = progress.add_task("", total=len(rows))
            delivered_at = time.monotonic()
            for outcome, was_done in enrol_all(settings, pack, rows, folder, report, force=force):
                done_before += was_done
                progress.update(task, advance=1, description=outcome.name)
                if time.monotonic() - delivered_at > _DELIVERY_INTERVAL_SECONDS:
                    deliver_outbox(settings)
                    delivered_at = time.monotonic()
    finally:
        deliver_outbox(settings)  # also after an error
    outcomes = [asdict(outcome) for outcome in report.finish()]
    refused = [row for row in outcomes if row["result"] == "refused"]
    if as_json:
        print_json({"report": str(path), "done_before": done_before, "rows": outcomes})
    else:
        if refused:
            columns = ("line", "name", "reason", "message")
            print_rows([{name: row[name] for name in columns} for row in refused], title="Refused")
        counts = Counter(row["result"] for row in outcomes)
        summary = ", ".join(f"{count} {result}" for result, count in counts.items())
        before = f" ({done_before} of them by an earlier run)" if done_before else ""
        console.print(f"{summary}{before}; see {path}")
    if refused:
        raise SightlineError(
            f"{len(refused)} of {len(rows)} people were refused; put them right and run it again"
        )


def _progress_bar() -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),  # it has rules of its own
        console=progress_console,
        transient=True,
    )
