"""`sightline explain`: the way of a row of the logs back to its frame."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, console, print_json, print_rows
from sightline.audit import trail
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(_explain)


@audited("explain")
def _explain(
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW",
            help="Id of a row of the access log or the visitor log, of a sighting or a track.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write the frame: a .jpg file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Where a row comes from: sighting, shots, models, corrections, and the frame itself."""
    from ops.explain.explanation import way  # noqa: PLC0415 - heavy

    settings = load_settings()
    given = _id(row)
    with connect(settings) as db:
        found = way(settings, db, given)
    trail.shown([found.told["sighting"] or {}], row=given)
    path = output or Path(f"explain-{given}.jpg")
    written = str(path) if found.write_frame(path) else None
    if as_json:
        print_json(found.told | {"picture": written})
        return
    _print(found.told)
    _print_frame(found.told["frame"], written)


def _id(given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        raise SightlineError(
            f"{given[:80]} is no id of a row; see `sightline logs access --json`"
        ) from None


def _print(told: Mapping[str, Any]) -> None:
    _say(f"{told['is']} {told['asked']}, run {told['run']}")
    for title, key in (("Visit", "visit"), ("Sighting", "sighting"), ("Track", "track")):
        if told[key] is not None:
            _print_facts(told[key], title)
    decisions = [_decision(row) for row in told["decisions"]]
    print_rows(decisions, title="Decisions, as they came", as_json=False)
    shots = [_shot(row) for row in told["observations"]]
    print_rows(shots, title="Shots; alike: to the person, as known today", as_json=False)
    if told["calibration"] is not None:
        _print_facts(told["calibration"], "Calibration")
    print_rows(told["models"], title="Models, as they are here now", as_json=False)
    print_rows(told["corrections"], title="Corrections", as_json=False)
    print_rows(told["promotions"], title="Promotions", as_json=False)


def _print_facts(row: Mapping[str, Any], title: str) -> None:
    facts = [{"what": key, "is": _shown(value)} for key, value in row.items() if value is not None]
    print_rows(facts, title=title, as_json=False)


def _decision(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a decision fits into a line."""
    who = row["name"] or row["global_id"] or "nobody"
    return {
        "time": _time(row["at"]),
        "said": f"{row['status']}: {who}",
        "score": _shown(row["score"]),
        "of": _shown(row["threshold"]),
        "shots": row["shots"],
        "why": row["reason"],
        "record": _place(row["record"]),
    }


def _shot(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a shot fits into a line."""
    quality = [f"{row[name]:.2f}" for name in ("sharpness", "frontality", "detector_score")]
    return {
        "time": _time(row["at"]),
        "alike": _shown(row["score"]),
        "quality": _shown(row["quality"]),
        "px": round(row["size_px"]),
        "sharp, front, sure": " ".join(quality),
        "frame": _place(row["frame"]),
        "record": _place(row["record"]),
    }


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%H:%M:%S.%f}"[:-3]


def _place(at: Mapping[str, Any]) -> str:
    return f"{at['topic']}/{at['partition']} {at['offset']}"


def _print_frame(frame: Mapping[str, Any] | None, written: str | None) -> None:
    if frame is None:
        _say("frame: none of its shots is in Kafka any more")
        return
    where = f"topic {frame['topic']}, partition {frame['partition']}, offset {frame['offset']}"
    if written:
        _say(f"frame: {where}: written to {written}")
    elif frame["topic"] == "api":
        _say("frame: the picture came by the API, and no topic has it")
    else:
        _say(f"frame: {where}: gone, Kafka does not hold it any more")


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
