"""`sightline erase`: everything of a person goes; a report says what only time removes."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.caller import caller
from ops.erasure import erasure_record
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.audit import trail
from sightline.audit.keys import trusted
from sightline.runtime import fault_injection
from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import private
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("erase")(_erase)


@audited("erase")
def _erase(
    person: Annotated[
        str,
        typer.Argument(
            metavar="PERSON", help="A name, a person id, or a global id.", show_default=False
        ),
    ] = "",
    where: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Where to write the report; else at home."),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", metavar="REPORT", help="Whether a report is as it was signed."),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--resume", help="Go on with what was cut off, whoever it is.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--show", help="The report about somebody who was erased, by an id.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a person: templates, rows, pictures, what topics and matchers know of them.

    What only retention removes is listed in a signed report, record for record, and when.
    """
    from ops.erasure.erasure import Asked, erase, resume  # noqa: PLC0415 - loads Kafka's clients

    settings = load_settings()
    if sum((bool(person), verify is not None, go_on)) != 1:
        raise SightlineError("say whom to erase, or --resume, or --verify REPORT")
    fault_injection.arm(settings.faults, "erase")
    if verify is not None:
        _verify(settings, verify, as_json)
        return
    if again:
        with connect(settings) as db:
            reports = [erasure_record.reported(db, person)]
    elif go_on:
        reports = resume(settings)
    else:
        with progress_console.status("erasing"):
            reports = [erase(settings, Asked(person, caller(), trail.purpose()))]
    for one in reports:
        _tell(one, _write(settings, one, where), as_json)
    if not reports:
        console.print("nothing was cut off")


def _verify(settings: Settings, path: Path, as_json: bool) -> None:
    from ops.erasure import report  # noqa: PLC0415

    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SightlineError(f"{path} is no report: {error}") from error
    if not isinstance(told, dict):
        raise SightlineError(f"{path} is no report")
    report.check(told, trusted(settings))
    trail.about(erasure=str(told["erasure"]), persons=told["person"]["global_ids"])
    if as_json:
        print_json({"valid": True, "erasure": told["erasure"]})
    else:
        console.print(f"{path} is as it was signed at {told['done_at']}", soft_wrap=True)


def _write(settings: Settings, told: dict[str, Any], where: Path | None) -> Path:
    path = where or settings.home / "erasures" / f"{told['erasure']}.json"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "w", opener=private) as file:
            file.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SightlineError(
            f"erased, but {path} cannot be written ({error.strerror}): `sightline erase --show"
            f" {told['erasure']} --report FILE`"
        ) from error
    return path


def _tell(told: dict[str, Any], path: Path, as_json: bool) -> None:
    if as_json:
        print_json(told | {"file": str(path)})
        return
    gone = told["deleted"]
    rows = sum(gone["rows"].values())
    console.print(
        f"erased {told['person']['global_ids'][0]}: {rows} rows, {gone['objects']} pictures",
        highlight=False,
    )
    left = [
        {
            "topic": one["topic"],
            "partition": one["partition"],
            "records": one["records"],
            "until": one["until"] or _grown(one["bytes_to_come"]),
            "why": one["rule"],
        }
        for one in told["kept"]["topics"]
    ]
    print_rows(left, title="What only time removes", as_json=False)
    console.print(f"report: {path}", soft_wrap=True, highlight=False)


def _grown(bytes_to_come: int | None) -> str | None:
    return None if bytes_to_come is None else f"{bytes_to_come / 2**20:.0f} MiB more are written"
