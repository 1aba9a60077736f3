"""The command that enrols: one person from photos, or many from a list."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sightline.cli.output import JsonOption, console, print_json, progress_console
from sightline.cli.people import Code, Department, Email, Models, deliver_now, settings_with
from sightline.errors import SightlineError
from sightline.people import records
from sightline.people.records import Details


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("enrol")(enrol)


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
    models: Models = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a person from photos, or add photos to a person who is enrolled."""
    from sightline.people.enrol import enrol as do  # noqa: PLC0415 - loads model runtimes
    from sightline.people.photos import read_photo  # noqa: PLC0415
    from sightline.vision.packs import load_pack  # noqa: PLC0415

    settings = settings_with(models)
    records.checked_name(name)
    if not photos:
        raise SightlineError("give at least one photo: sightline enrol NAME PHOTO...")
    details = Details(department, email, code, is_authorized=False if not_authorized else None)
    with progress_console.status("looking at the photos"):
        given = [read_photo(path) for path in photos]
        done = do(settings, load_pack(settings), name, given, details, anyway=anyway)
    deliver_now(settings)
    if as_json:
        print_json(asdict(done))
        return
    what = "enrolled with" if done.is_new else "was enrolled already; added"
    console.print(f"{done.name} {what} {done.added} of {len(photos)} photos ({done.pack})")
    for stranger in done.linked:
        console.print(f"the cameras have met {done.name} before, as {stranger}")
