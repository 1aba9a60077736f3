"""`sightline erase`: erase a person, and resume, verify and show erasures."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.operator_name import operator_name
from ops.erasure import erasure_record
from ops.terminal import JsonOption, console, print_json, print_rows, progress_console
from sightline.audit import trail
from sightline.audit.keys import trusted_keys
from sightline.runtime import fault_injection
from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import open_private
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import connect

app = typer.Typer(
    name="erase", help="Erasure of persons, and its signed reports.", no_args_is_help=True
)

_ReportPath = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="File for the report; by default in the home."),
]


@app.command("person")
@audited("erase.person")
def erase_person(
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="A name, NAME (CODE), a code, or an id.")
    ],
    report_path: _ReportPath = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person: templates, rows, pictures, and what topics and matchers hold of them.

    Records that only retention removes are listed in a signed report, each with its time.
    """
    from ops.erasure.erasure import ErasureRequest, erase  # noqa: PLC0415 - loads Kafka's clients

    settings = load_settings()
    fault_injection.arm_fault_points(settings.fault_injection, "erase")
    with progress_console.status("erasing"):
        report = erase(settings, ErasureRequest(person, operator_name(), trail.purpose()))
    _print_report(report, _write(settings, report, report_path), as_json)


@app.command()
@audited("erase.resume")
def resume(report_path: _ReportPath = None, as_json: JsonOption = False) -> None:
    """Continue all erasures that were interrupted."""
    from ops.erasure.erasure import resume as resume_all  # noqa: PLC0415 - loads Kafka's clients

    settings = load_settings()
    fault_injection.arm_fault_points(settings.fault_injection, "erase")
    reports = resume_all(settings)
    for report in reports:
        _print_report(report, _write(settings, report, report_path), as_json)
    if not reports:
        console.print("nothing was cut off")


@app.command()
@audited("erase.verify")
def verify(
    path: Annotated[Path, typer.Argument(metavar="REPORT", help="A report.")],
    as_json: JsonOption = False,
) -> None:
    """Verify that a report is as it was signed; exit status 1 if not."""
    from ops.erasure import report  # noqa: PLC0415

    settings = load_settings()
    try:
        signed = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SightlineError(f"{path} is no report: {error}") from error
    if not isinstance(signed, dict):
        raise SightlineError(f"{path} is no report")
    report.check(signed, trusted_keys(settings))
    trail.add_subject(erasure=str(signed["erasure"]), persons=signed["person"]["global_ids"])
    if as_json:
        print_json({"valid": True, "erasure": signed["erasure"]})
    else:
        console.print(f"{path} is as it was signed at {signed['done_at']}", soft_wrap=True)


@app.command()
@audited("erase.show")
def show(
    any_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the erasure or of the person.")
    ],
    report_path: _ReportPath = None,
    as_json: JsonOption = False,
) -> None:
    """Write and show the report of a past erasure once more."""
    settings = load_settings()
    with connect(settings) as db:
        report = erasure_record.latest_report(db, any_id)
    _print_report(report, _write(settings, report, report_path), as_json)


def _write(settings: Settings, report: dict[str, Any], file: Path | None) -> Path:
    path = file or settings.home / "erasures" / f"{report['erasure']}.json"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "w", opener=open_private) as output:
            output.write(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SightlineError(
            f"erased, but {path} cannot be written ({error.strerror}): `sightline erase show"
            f" {report['erasure']} --report FILE`"
        ) from error
    return path


def _print_report(report: dict[str, Any], path: Path, as_json: bool) -> None:
    if as_json:
        print_json(report | {"file": str(path)})
        return
    deleted = report["deleted"]
    rows = sum(deleted["rows"].values())
    console.print(
        f"erased {report['person']['global_ids'][0]}: {rows} rows, {deleted['objects']} pictures",
        highlight=False,
    )
    retained = [
        {
            "topic": entry["topic"],
            "partition": entry["partition"],
            "records": entry["records"],
            "until": entry["until"] or _bytes_to_come(entry["bytes_to_come"]),
            "why": entry["rule"],
        }
        for entry in report["kept"]["topics"]
    ]
    print_rows(retained, title="What only time removes")
    console.print(f"report: {path}", soft_wrap=True)


def _bytes_to_come(bytes_to_come: int | None) -> str | None:
    return None if bytes_to_come is None else f"{bytes_to_come / 2**20:.0f} MiB more are written"
