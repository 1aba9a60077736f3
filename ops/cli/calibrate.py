"""`sightline calibrate`: measure, list, show and activate calibrations of model packs."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from ops.cli.audited import audited
from ops.cli.models import ModelsOption, with_models
from ops.cli.outbox_delivery import deliver_outbox
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect

if TYPE_CHECKING:
    from ops.calibration.fit import Fitted
    from ops.calibration.labelled_photos import LabelledPhotos
    from sightline.identity.calibration import Calibration

_MAX_SKIPPED_SHOWN = 10
_SAME_PERSON_RATIO = 0.6
"""Share of the way from the median non-mated score to the score 1.

Two people whose score lies above it are reported: one person under two names makes every threshold
too high.
"""


class ImpostorSource(StrEnum):
    """People whose portraits give the non-mated comparisons."""

    FOLDER = "folder"
    ENROLLED = "enrolled"
    BOTH = "both"


app = typer.Typer(
    name="calibrate", help="Calibrations of the model packs' scores.", no_args_is_help=True
)

_Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.png", help="Draw the curve (detection error trade-off)."
    ),
]


@app.command()
@audited("calibrate.measure")
def measure(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Labelled portraits: a folder for each person.")
    ],
    models: ModelsOption = None,
    impostors: Annotated[
        ImpostorSource,
        typer.Option(
            help="People to compare with each other as different persons: those of the folder,"
            " those enrolled here, or both; nobody may be in both."
        ),
    ] = ImpostorSource.FOLDER,
    report: _Report = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure and store nothing.")] = False,
    no_activate: Annotated[
        bool, typer.Option("--no-activate", help="Store it; decisions go on with the one in force.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a pack's scores, so that thresholds follow from a target FPIR.

    Decisions use the new calibration at once, in running matchers too.
    """
    from ops.calibration.fit import calibrate as fit  # noqa: PLC0415
    from ops.calibration.labelled_photos import enrolled_templates, read_labelled_photos  # noqa: PLC0415
    from sightline.identity import calibration_store  # noqa: PLC0415 - loads model runtimes
    from sightline.models.packs import load_pack  # noqa: PLC0415

    settings = with_models(load_settings(), models)
    pack = load_pack(settings)
    with _progress_bar("reading the photos") as report_progress:
        portraits = read_labelled_photos(folder, pack, settings, report_progress)
    _report_skipped(portraits)
    source, impostor_people = folder.resolve().name, None
    if impostors is not ImpostorSource.FOLDER:
        with connect(settings) as db:
            impostor_people = dict(enrolled_templates(db, pack.id))
        source += ", non-mated: the people enrolled here"
    if impostors is ImpostorSource.BOTH and impostor_people is not None:
        impostor_people |= portraits.people
        source += " and those of the folder"
    with _progress_bar("measuring") as report_progress:
        fitted = fit(
            pack.id, portraits.people, source, impostors=impostor_people, progress=report_progress
        )
    calibration = fitted.calibration
    if not dry_run:
        with connect(settings) as db, db.cursor() as cursor:
            calibration_store.save(cursor, calibration, activate=not no_activate)
        deliver_outbox(settings)
    _show(calibration, settings, report, as_json)
    _report_most_alike(fitted, by_id=impostor_people is not None)
    if not as_json:
        state = "not kept" if dry_run else "kept" if no_activate else "in force"
        console.print(f"{calibration.id} is {state}")


@app.command("list")
@audited("calibrate.list")
def list_calibrations(as_json: JsonOption = False) -> None:
    """List the stored calibrations."""
    from sightline.identity import calibration_store  # noqa: PLC0415

    with connect(load_settings()) as db:
        print_rows(calibration_store.list_calibrations(db), title="Calibrations", as_json=as_json)


@app.command()
@audited("calibrate.show")
def show(
    calibration_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A stored calibration; the one in force by default."),
    ] = None,
    models: ModelsOption = None,
    report: _Report = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rates and thresholds of a calibration."""
    settings = with_models(load_settings(), models)
    _show(_load(settings, calibration_id), settings, report, as_json)


@app.command()
@audited("calibrate.activate")
def activate(
    calibration_id: Annotated[
        str, typer.Argument(metavar="ID", help="A stored calibration; `builtin` is the pack's.")
    ],
    models: ModelsOption = None,
) -> None:
    """Put a stored calibration in force, in running matchers too."""
    from sightline.identity import calibration_store  # noqa: PLC0415
    from sightline.models.packs import resolve_pack  # noqa: PLC0415

    settings = with_models(load_settings(), models)
    with connect(settings) as db, db.cursor() as cursor:
        if calibration_id == "builtin":
            calibration = calibration_store.activate_builtin(cursor, resolve_pack(settings).id)
        else:
            calibration = calibration_store.activate(cursor, calibration_id)
    deliver_outbox(settings)
    console.print(f"{calibration.id} is in force for {calibration.pack}")


def _load(settings: Settings, calibration_id: str | None) -> "Calibration":
    from sightline.identity import calibration_store  # noqa: PLC0415
    from sightline.models.packs import resolve_pack  # noqa: PLC0415

    with connect(settings) as db:
        if calibration_id is None:
            return calibration_store.calibration_in_force(db, resolve_pack(settings).id)
        with db.cursor() as cursor:
            return calibration_store.get_calibration(cursor, calibration_id)


def _show(
    calibration: "Calibration", settings: Settings, report: Path | None, as_json: bool
) -> None:
    from ops.calibration.report import measured, thresholds  # noqa: PLC0415

    if report is not None:
        from ops.calibration.det_curve import draw  # noqa: PLC0415 - loads matplotlib

        draw(calibration, report)
    if as_json:
        print_json(calibration.model_dump(mode="json"))
        return
    rate = settings.match.target_fpir
    console.print(
        f"{calibration.id} of {calibration.pack}: {calibration.source}\n"
        + ("" if calibration.measured else "NOT MEASURED with this pack\n")
        + f"{calibration.people} people, {calibration.portraits} portraits; bounds with"
        f" {calibration.confidence:.0%} confidence; `agree` {calibration.agree:.3f}, `newcomer`"
        f" {calibration.newcomer:.3f}, `lead` {calibration.name_lead:.3f}\n"
        "Rates are for one comparison. Down to `counted` they were counted; from there to"
        " `promised` the tail is extrapolated by its limit of extreme value theory (a beta"
        " distribution with its end at the score 1); beyond, nothing is promised."
    )
    print_rows(measured(calibration), title="Measured")
    title = f"Thresholds for {rate:g} false names a track"
    print_rows(thresholds(calibration, rate), title=title)
    if refusal := calibration.unsupported_reason(100, rate):
        console.print(refusal)
    if report is not None:
        console.print(f"drawn: {report}")


def _report_skipped(labelled_photos: "LabelledPhotos") -> None:
    if not labelled_photos.skipped:
        return
    reasons = ", ".join(
        f"{count} {reason}" for reason, count in labelled_photos.reasons.most_common()
    )
    total = labelled_photos.usable + len(labelled_photos.skipped)
    progress_console.print(f"left out {len(labelled_photos.skipped)} of {total} photos: {reasons}")
    for line in labelled_photos.skipped[:_MAX_SKIPPED_SHOWN]:
        progress_console.print(f"  {line}")
    if len(labelled_photos.skipped) > _MAX_SKIPPED_SHOWN:
        progress_console.print(f"  and {len(labelled_photos.skipped) - _MAX_SKIPPED_SHOWN} more")


def _report_most_alike(fitted: "Fitted", by_id: bool) -> None:
    first, second, score = fitted.most_alike
    calibration = fitted.calibration
    middle = calibration.threshold_at(1, 0.5)
    if score - middle < _SAME_PERSON_RATIO * (1 - middle):
        return
    label = "people" if by_id else "the folders"
    progress_console.print(
        f"{label} {first} and {second} score {score:.2f} with each other: if they are one person,"
        " put them together and measure again",
        markup=False,
    )


@contextmanager
def _progress_bar(description: str) -> Iterator[Any]:
    with Progress(console=progress_console, transient=True) as progress:
        task = progress.add_task(description, total=1.0)
        yield lambda ratio: progress.update(task, completed=ratio)
