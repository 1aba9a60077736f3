"""`sightline calibrate`: what the scores of a pack mean, measured on labelled portraits."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from ops.cli.audited import audited
from ops.cli.delivery import publish
from ops.cli.models import ModelsOption, with_models
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect

if TYPE_CHECKING:
    from ops.calibration.fit import Fitted
    from ops.calibration.portraits import Portraits
    from sightline.identity.calibration import Calibration

_SHOWN_SKIPPED = 10
_ONE_PERSON = 0.6
"""Two people who are this much nearer to each other than strangers are, of the way to 1, are
asked about: one person under two names makes every threshold too high."""


class Whose(StrEnum):
    """Who are strangers to each other."""

    FOLDER = "folder"
    ENROLLED = "enrolled"
    BOTH = "both"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)


@audited("calibrate")
def calibrate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="Labelled portraits: a folder for each person.",
            show_default=False,
        ),
    ] = None,
    models: ModelsOption = None,
    impostors: Annotated[
        Whose,
        typer.Option(
            help="Whose likeness says how alike strangers are: the people of the folder, those"
            " enrolled here, or both; nobody may be in both."
        ),
    ] = Whose.FOLDER,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw the curve (detection error trade-off), of the one in force by itself.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, keep nothing.")] = False,
    no_activate: Annotated[
        bool, typer.Option("--no-activate", help="Keep it; decisions go on by the one in force.")
    ] = False,
    activate: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Put a stored calibration in force; `builtin` is the pack's."
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="The stored calibrations.")] = False,
    show: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A stored calibration; `.` is the one in force."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what a pack's scores mean, so that thresholds follow from a wanted rate.

    Decisions go by the new calibration at once, in running matchers too.
    """
    settings = with_models(load_settings(), models)
    asked = sum((folder is not None, activate is not None, listed, show is not None))
    if asked == 0 and report is not None:
        asked, show = 1, "."
    if asked != 1:
        raise SightlineError("give a folder of portraits, or --list, --show ID or --activate ID")
    if listed:
        _list(settings, as_json)
    elif show is not None:
        _show(_stored(settings, show), settings, report, as_json)
    elif activate is not None:
        _activate(settings, activate)
    elif folder is not None:
        _measure(settings, folder, impostors, report, dry_run, no_activate, as_json)


def _measure(
    settings: Settings,
    folder: Path,
    impostors: Whose,
    report: Path | None,
    dry_run: bool,
    no_activate: bool,
    as_json: bool,
) -> None:
    from ops.calibration.fit import calibrate as fit  # noqa: PLC0415
    from ops.calibration.portraits import enrolled, read_portraits  # noqa: PLC0415
    from sightline.identity import calibration_store  # noqa: PLC0415 - loads model runtimes
    from sightline.models.packs import load_pack  # noqa: PLC0415

    pack = load_pack(settings)
    with _progress("looking at the portraits") as told:
        portraits = read_portraits(folder, pack, settings, told)
    _tell_skipped(portraits)
    source, strangers = folder.resolve().name, None
    if impostors is not Whose.FOLDER:
        with connect(settings) as db:
            strangers = dict(enrolled(db, pack.id))
        source += ", strangers: the people enrolled here"
    if impostors is Whose.BOTH and strangers is not None:
        strangers |= portraits.people
        source += " and those of the folder"
    with _progress("measuring") as told:
        fitted = fit(pack.id, portraits.people, source, impostors=strangers, progress=told)
    calibration = fitted.calibration
    if not dry_run:
        with connect(settings) as db, db.cursor() as cursor:
            calibration_store.save(cursor, calibration, activate=not no_activate)
        publish(settings)
    _show(calibration, settings, report, as_json)
    _tell_alike(fitted, by_id=strangers is not None)
    if not as_json:
        kept = "not kept" if dry_run else "kept" if no_activate else "in force"
        console.print(f"{calibration.id} is {kept}")


def _list(settings: Settings, as_json: bool) -> None:
    from sightline.identity import calibration_store  # noqa: PLC0415

    with connect(settings) as db:
        print_rows(calibration_store.listed(db), title="Calibrations", as_json=as_json)


def _stored(settings: Settings, calibration_id: str) -> "Calibration":
    from sightline.identity import calibration_store  # noqa: PLC0415
    from sightline.models.packs import resolve_pack  # noqa: PLC0415

    with connect(settings) as db:
        if calibration_id == ".":
            return calibration_store.in_force(db, resolve_pack(settings).id)
        with db.cursor() as cursor:
            return calibration_store.stored(cursor, calibration_id)


def _activate(settings: Settings, calibration_id: str) -> None:
    from sightline.identity import calibration_store  # noqa: PLC0415
    from sightline.models.packs import resolve_pack  # noqa: PLC0415

    with connect(settings) as db, db.cursor() as cursor:
        if calibration_id == "builtin":
            calibration = calibration_store.back_to_builtin(cursor, resolve_pack(settings).id)
        else:
            calibration = calibration_store.activate(cursor, calibration_id)
    publish(settings)
    console.print(f"{calibration.id} is in force for {calibration.pack}")


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
    rate = settings.match.wanted_false_name_rate
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
    print_rows(measured(calibration), title="Measured", as_json=False)
    print_rows(
        thresholds(calibration, rate),
        title=f"Thresholds for {rate:g} false names a track",
        as_json=False,
    )
    if refusal := calibration.refusal(100, rate):
        console.print(refusal)
    if report is not None:
        console.print(f"drawn: {report}")


def _tell_skipped(portraits: "Portraits") -> None:
    if not portraits.skipped:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in portraits.reasons.most_common())
    total = portraits.used + len(portraits.skipped)
    progress_console.print(f"left out {len(portraits.skipped)} of {total} photos: {reasons}")
    for line in portraits.skipped[:_SHOWN_SKIPPED]:
        progress_console.print(f"  {line}", markup=False)
    if len(portraits.skipped) > _SHOWN_SKIPPED:
        progress_console.print(f"  and {len(portraits.skipped) - _SHOWN_SKIPPED} more")


def _tell_alike(fitted: "Fitted", by_id: bool) -> None:
    one, other, score = fitted.most_alike
    calibration = fitted.calibration
    middle = calibration.reached(1, 0.5)
    if score - middle < _ONE_PERSON * (1 - middle):
        return
    kind = "people" if by_id else "the folders"
    progress_console.print(
        f"{kind} {one} and {other} score {score:.2f} with each other: if they are one person,"
        " put them together and measure again",
        markup=False,
    )


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    with Progress(console=progress_console, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda done: progress.update(task, completed=done)
