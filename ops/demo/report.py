"""Result of the demo: one JSON object for programs, tables for readers."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from rich.table import Table
from rich.text import Text

from ops.demo.results import NearestEmployee, PipelineOutput
from ops.demo.truth import DecidedIdentity, Verdict
from ops.terminal import console, display_zone

UNKNOWN = "unknown"


def as_json(
    output: PipelineOutput, cameras: Sequence[str], verdict: Verdict | None
) -> dict[str, Any]:
    """Return all counts; those that need a ground truth are None without one."""
    latencies = [row.latency for row in output.rows]
    identities = [row.identity for row in output.rows if row.identity is not None]
    names = {identity.name for identity in identities if identity.name}
    unknown = {identity.global_id for identity in identities if not identity.name}
    truth: dict[str, int | None] = dict.fromkeys(
        (
            "expected_named", "named_right", "named_wrong", "expected_unknown", "unknown_found",
            "same_id_across_cameras",
        )
    )  # fmt: skip
    if verdict is not None:
        truth = {name: getattr(verdict, name) for name in truth}
    return {
        "cameras": len(cameras),
        "frames": output.frames,
        "tracks": len(output.tracks),
        **truth,
        "unknown_ids": len(unknown),
        "access_logs": len(output.rows),
        "unidentified": len(output.rows) - len(identities),
        "visitor_logs": output.visitor_logs,
        "snapshots": output.snapshots,
        "latency_ms_p50": milliseconds(percentile(latencies, 0.5)),
        "latency_ms_p95": milliseconds(percentile(latencies, 0.95)),
        "names": sorted(names),
        "nearest": [_nearest_json(nearest) for nearest in output.nearest],
    }


def _nearest_json(nearest: NearestEmployee) -> dict[str, Any]:
    rounded = {name: round(getattr(nearest, name), 4) for name in ("score", "threshold")}
    # A threshold is infinite if no score suffices; JSON has no number for it.
    return asdict(nearest) | {
        name: value if isfinite(value) else None for name, value in rounded.items()
    }


def percentile(values: Sequence[float], ratio: float) -> float | None:
    """Return the value that a share (0 to 1) of the values does not exceed; None if empty."""
    ordered = sorted(values)
    return ordered[round(ratio * (len(ordered) - 1))] if ordered else None


def milliseconds(seconds: float | None) -> float | None:
    """Convert seconds to milliseconds, rounded to a tenth."""
    return None if seconds is None else round(seconds * 1000, 1)


def print_verdict(verdict: Verdict) -> None:
    """Print ground truth and output, a line for each person and camera."""
    table = Table("camera", "who walked by", "who was found", "", title="Truth against found")
    for line in sorted(verdict.lines, key=lambda line: (line.camera, line.person.name)):
        expected = line.person.name if line.person.enrolled else f"{UNKNOWN} ({line.person.name})"
        identities = ", ".join(sorted(map(identity_text, line.identities))) or "nobody"
        mark = Text("right", "green") if line.is_correct else Text("wrong", "red")
        table.add_row(line.camera, expected, identities, mark)
    console.print(table)


def print_rows(output: PipelineOutput) -> None:
    """Print the access log: time, camera, track, person, latency."""
    zone = display_zone()
    zone_name = zone.name(datetime.now(UTC))
    title = f"Access log ({zone_name})"
    table = Table("time", "camera", "track", "person", "capture to row", title=title)
    for row in output.rows:
        at = zone.local(datetime.fromtimestamp(row.seen_at, UTC))
        table.add_row(
            at.strftime("%H:%M:%S"), row.camera, str(row.track_number), identity_text(row.identity),
            f"{row.latency * 1000:.0f} ms",
        )  # fmt: skip
    console.print(table)


def print_nearest(output: PipelineOutput) -> None:
    """Print the nearest employee of each track, and the reason of the decision."""
    columns = ("camera", "track", "nearest", "score", "threshold", "named", "why")
    table = Table(*columns, title="Nearest of the enrolled people")
    for nearest in output.nearest:
        table.add_row(
            nearest.camera, str(nearest.track_number), nearest.candidate, f"{nearest.score:.3f}",
            f"{nearest.threshold:.3f}",
            "yes" if nearest.decided_name == nearest.candidate else nearest.decided_name or "no",
            nearest.reason,
        )  # fmt: skip
    console.print(table)


def print_summary(summary: dict[str, Any]) -> None:
    """Print the counts as sentences."""
    console.print(
        f"{summary['cameras']} cameras, {summary['frames']} frames, {summary['tracks']} tracks: "
        f"{summary['access_logs']} access log rows ({summary['unidentified']} of people whom no "
        f"face identified), {summary['visitor_logs']} visits, "
        f"{summary['snapshots']} snapshots"
    )
    if summary["expected_named"] is not None:
        console.print(
            f"named right {summary['named_right']} of {summary['expected_named']}, "
            f"wrong {summary['named_wrong']}; unknown people found {summary['unknown_found']} of "
            f"{summary['expected_unknown']}, with one id at all cameras "
            f"{summary['same_id_across_cameras']}"
        )
    if summary["latency_ms_p50"] is not None:
        console.print(
            f"capture to row: {summary['latency_ms_p50']:.0f} ms median, "
            f"{summary['latency_ms_p95']:.0f} ms for 95%"
        )


def identity_text(identity: DecidedIdentity | None) -> str:
    """Format an identity for readers; None is of somebody whom no face identified."""
    if identity is None:
        return "unidentified"
    return identity.name or f"{UNKNOWN} {identity.global_id % 100_000:05d}"
