"""The command that enrols: one person from photos, or a list of people."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.cli.audited import audited
from ops.cli.delivery import publish
from ops.cli.people import Code, Department, Email, Models, settings_with
from ops.terminal import (
    JsonOption,
    console,
    print_json,
    print_rows,
    progress_console,
)
from sightline.people import employees
from sightline.people.employees import Details
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings

_DELIVER_SECONDS = 1.0
"""How long a running matcher waits for a person of a list, at most about."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("enrol")(enrol)


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
        bool, typer.Option("--not-authorized", help="Known, but may not come in.")
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="Take photos that disagree, or whose face somebody else is enrolled with (twins).",
        ),
    ] = False,
    people: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Enrol a list: columns name, photos, department, email, "
            "code, status, authorized; several photos with ; between.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--photos",
            metavar="FOLDER",
            help="Where the list's photos are, NAME.jpg where the list does not say.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What came of each row; the same list again goes on from there. "
            "Beside the list when not given.",
        ),
    ] = None,
    models: Models = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a person from photos, or add photos to a person who is enrolled.

    With --csv enrol or update all people of a list.
    """
    details = Details(department, email, code, is_authorized=False if not_authorized else None)
    settings = settings_with(models)
    if people is not None:
        if name or photos or details.given():
            raise SightlineError("with --csv everything about people is in the list")
        _enrol_list(settings, people, folder or people.parent, report, anyway, as_json)
        return
    if folder is not None or report is not None:
        raise SightlineError("--photos and --report belong to --csv")
    _enrol_one(settings, name, photos or [], details, anyway, as_json)


def _enrol_one(
    settings: Settings,
    name: str,
    photos: Sequence[Path],
    details: Details,
    anyway: bool,
    as_json: bool,
) -> None:
    from sightline.models.packs import load_pack  # noqa: PLC0415
    from sightline.people.enrol import enrol as do  # noqa: PLC0415 - loads model runtimes
    from sightline.people.photos import read_photo  # noqa: PLC0415

    employees.checked_name(name)
    if not photos:
        raise SightlineError("give at least one photo: sightline enrol NAME PHOTO...")
    with progress_console.status("looking at the photos"):
        given = [read_photo(path) for path in photos]
        done = do(settings, load_pack(settings), name, given, details, anyway=anyway)
    publish(settings)
    if as_json:
        print_json(asdict(done))
        return
    what = "enrolled with" if done.is_new else "was enrolled already; added"
    console.print(f"{done.name} {what} {done.added} of {len(photos)} photos ({done.pack})")
    for stranger in done.linked:
        console.print(f"the cameras have met {done.name} before, as {stranger}")


def _enrol_list(
    settings: Settings,
    people: Path,
    folder: Path,
    where: Path | None,
    anyway: bool,
    as_json: bool,
) -> None:
    from ops.enrolment.bulk import Report, enrol_all  # noqa: PLC0415 - loads model runtimes
    from ops.enrolment.csv_import import read_rows  # noqa: PLC0415
    from sightline.models.packs import load_pack  # noqa: PLC0415

    rows = read_rows(people)
    path = where or people.with_name(f"{people.stem}-report.csv")
    report = Report(path)
    pack = load_pack(settings)
    done_before = 0
    try:
        with _progress() as progress:
            task = progress.add_task("", total=len(rows))
            delivered = time.monotonic()
            for outcome, was_done in enrol_all(settings, pack, rows, folder, report, anyway=anyway):
                done_before += was_done
                progress.update(task, advance=1, description=outcome.name)
                if time.monotonic() - delivered > _DELIVER_SECONDS:
                    publish(settings)
                    delivered = time.monotonic()
    finally:
        publish(settings)  # also of a run that ends early
    outcomes = [asdict(one) for one in report.finish()]
    refused = [one for one in outcomes if one["result"] == "refused"]
    if as_json:
        print_json({"report": str(path), "done_before": done_before, "rows": outcomes})
    else:
        if refused:
            columns = ("line", "name", "reason", "message")
            print_rows(
                [{c: one[c] for c in columns} for one in refused], title="Refused", as_json=False
            )
        counts = Counter(one["result"] for one in outcomes)
        summary = ", ".join(f"{count} {result}" for result, count in counts.items())
        before = f" ({done_before} of them by an earlier run)" if done_before else ""
        console.print(f"{summary}{before}; see {path}")
    if refused:
        raise SightlineError(
            f"{len(refused)} of {len(rows)} people were refused; put them right and run it again"
        )


def _progress() -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=progress_console,
        transient=True,
    )
