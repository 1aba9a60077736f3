"""The demo's result: one JSON object for programs, tables for people."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from rich.table import Table

from ops.demo.results import Found, Nearest
from ops.demo.truth import Identity, Verdict
from ops.terminal import console

UNKNOWN = "unknown"


def as_json(found: Found, cameras: Sequence[str], verdict: Verdict | None) -> dict[str, Any]:
    """All counts; those that need a truth are None where there is none."""
    latencies = [row.latency for row in found.rows]
    names = {row.identity.name for row in found.rows if row.identity.name}
    unknown = {row.identity.global_id for row in found.rows if not row.identity.name}
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
        "frames": found.frames,
        "tracks": len(found.tracks),
        **truth,
        "unknown_ids": len(unknown),
        "access_logs": len(found.rows),
        "visitor_logs": found.visitor_logs,
        "snapshots": found.snapshots,
        "latency_ms_p50": milliseconds(percentile(latencies, 0.5)),
        "latency_ms_p95": milliseconds(percentile(latencies, 0.95)),
        "names": sorted(names),
        "nearest": [_as_json(one) for one in found.nearest],
    }


def _as_json(one: Nearest) -> dict[str, Any]:
    rounded = {name: round(getattr(one, name), 4) for name in ("score", "threshold")}
    # Infinite where no score is high enough, which JSON has no number for.
    return asdict(one) | {name: v if isfinite(v) else None for name, v in rounded.items()}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that a share (0 to 1) of the values does not exceed; None without values."""
    ordered = sorted(values)
    return ordered[round(share * (len(ordered) - 1))] if ordered else None


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to a tenth."""
    return None if seconds is None else round(seconds * 1000, 1)


def print_verdict(verdict: Verdict) -> None:
    """Truth against found, a line for each person and camera."""
    table = Table(title="Truth against found")
    for column in ("camera", "who walked by", "who was found", ""):
        table.add_column(column)
    for line in sorted(verdict.lines, key=lambda line: (line.camera, line.person.name)):
        expected = line.person.name if line.person.enrolled else f"{UNKNOWN} ({line.person.name})"
        found = ", ".join(sorted(map(said, line.found))) or "nobody"
        mark = "[green]right[/]" if line.right else "[red]wrong[/]"
        table.add_row(line.camera, expected, found, mark)
    console.print(table)


def print_rows(found: Found) -> None:
    """Who was seen where and when, as the access log has it."""
    table = Table(title="Access log")
    for column in ("time", "camera", "track", "person", "capture to row"):
        table.add_column(column)
    for row in found.rows:
        at = datetime.fromtimestamp(row.seen_at, UTC).astimezone()
        table.add_row(
            at.strftime("%H:%M:%S"), row.camera, str(row.track_number), said(row.identity),
            f"{row.latency * 1000:.0f} ms",
        )  # fmt: skip
    console.print(table)


def print_nearest(found: Found) -> None:
    """Who came nearest to each track, and why they were named or not."""
    table = Table(title="Nearest of the enrolled people")
    for column in ("camera", "track", "nearest", "score", "threshold", "named", "why"):
        table.add_column(column)
    for one in found.nearest:
        table.add_row(
            one.camera, str(one.track_number), one.candidate, f"{one.score:.3f}",
            f"{one.threshold:.3f}", "yes" if one.said == one.candidate else one.said or "no",
            one.reason,
        )  # fmt: skip
    console.print(table)


def print_summary(summary: dict[str, Any]) -> None:
    """The counts, in words."""
    console.print(
        f"{summary['cameras']} cameras, {summary['frames']} frames, {summary['tracks']} tracks: "
        f"{summary['access_logs']} access log rows, {summary['visitor_logs']} visits, "
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


def said(identity: Identity) -> str:
    """An identity for people to read."""
    return identity.name or f"{UNKNOWN} {identity.global_id % 100_000:05d}"
