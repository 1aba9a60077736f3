"""`sightline explain`: trace a row of the logs back to its frame."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from ops.cli.audited import audited
from ops.terminal import JsonOption, display_zone, print_fields, print_json, print_line, print_rows
from sightline.audit import trail
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage.db import connect

app = typer.Typer()


@app.command("explain")
@audited("explain")
def _explain(
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW",
            help="Id of a row of the access log or the visitor log, of a sighting or a track.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the frame: .jpg.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Trace a row to its sighting, observations, models, corrections, and its frame."""
    from ops.explain.explanation import explain  # noqa: PLC0415 - heavy

    settings = load_settings()
    row_id = _parse_id(row)
    with connect(settings) as db:
        origin = explain(settings, db, row_id)
    trail.write_before_showing([origin.fields["sighting"] or {}], row=row_id)
    path = output or Path(f"explain-{row_id}.jpg")
    written = str(path) if origin.write_frame(path) else None
    if as_json:
        print_json(origin.fields | {"picture": written})
        return
    _print_result(origin.fields)
    _print_frame(origin.fields["frame"], written)


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise SightlineError(
            f"{text[:80]} is no id of a row; see `sightline logs access --json`"
        ) from None


def _print_result(result: Mapping[str, Any]) -> None:
    print_line(f"{result['is']} {result['asked']}, run {result['run']}")
    for title, key in (("Visit", "visit"), ("Sighting", "sighting"), ("Track", "track")):
        if result[key] is not None:
            _print_section(result[key], title)
    decisions = [_decision(row) for row in result["decisions"]]
    zone = _zone_of(result)
    print_rows(decisions, title=f"Decisions, as they came{zone}")
    observations = [_observation(row) for row in result["observations"]]
    title = f"Observations{zone}; score: with the person's templates of today"
    print_rows(observations, title=title)
    if result["calibration"] is not None:
        _print_section(result["calibration"], "Calibration")
    print_rows(result["models"], title="Models, as they are here now")
    print_rows(result["corrections"], title="Corrections")
    print_rows(result["promotions"], title="Promotions")


def _zone_of(result: Mapping[str, Any]) -> str:
    """Return the zone of the clock times of a result, as part of a title."""
    moments = [row["at"] for key in ("decisions", "observations") for row in result[key]]
    first = next(filter(None, moments), None)
    return f" ({display_zone().name(first)})" if first else ""


def _print_section(row: Mapping[str, Any], title: str) -> None:
    print_fields({name: _rounded(value) for name, value in row.items()}, title)


def _decision(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a decision that fit into a table."""
    identity = row["name"] or row["global_id"] or "nobody"
    return {
        "time": _clock_time(row["at"]),
        "said": f"{row['status']}: {identity}",
        "score": _rounded(row["score"]),
        "of": _rounded(row["threshold"]),
        "shots": row["shots"],
        "why": row["reason"],
        "record": _position(row["record"]),
    }


def _observation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an observation that fit into a table."""
    quality = [f"{row[name]:.2f}" for name in ("sharpness", "frontality", "detector_score")]
    return {
        "time": _clock_time(row["at"]),
        "score": _rounded(row["score"]),
        "quality": _rounded(row["quality"]),
        "px": round(row["size_px"]),
        "sharp, front, sure": " ".join(quality),
        "frame": _position(row["frame"]),
        "record": _position(row["record"]),
    }


def _rounded(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _clock_time(at: datetime | None) -> str:
    return "" if at is None else f"{display_zone().local(at):%H:%M:%S.%f}"[:-3]


def _position(at: Mapping[str, Any]) -> str:
    return f"{at['topic']}/{at['partition']} {at['offset']}"


def _print_frame(frame: Mapping[str, Any] | None, written: str | None) -> None:
    if frame is None:
        print_line("frame: none of its observations is in Kafka any more")
        return
    position = f"topic {frame['topic']}, partition {frame['partition']}, offset {frame['offset']}"
    if written:
        print_line(f"frame: {position}: written to {written}")
    elif frame["topic"] == "api":
        print_line("frame: the picture came by the API, and no topic has it")
    else:
        print_line(f"frame: {position}: gone, Kafka does not hold it any more")
