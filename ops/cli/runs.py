"""`sightline runs`: list, compare, promote, roll back and delete runs."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.operator_name import operator_name
from ops.runs import promote as promoting
from ops.runs.delete import delete as delete_run
from ops.runs.diff import Diff, Difference
from ops.runs.diff import diff as compare_runs
from ops.runs.promote import PromotionCounts
from ops.terminal import JsonOption, console, print_json, print_result, print_rows
from sightline.audit import trail
from sightline.runtime.settings import load_settings
from sightline.storage import runs
from sightline.storage.db import connect

app = typer.Typer(
    name="runs", help="Runs over the frames: replays beside the live run.", no_args_is_help=True
)

RunOrLive = Annotated[str, typer.Argument(help="A run, or `live`.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run.")]

_MAX_DIFFERENCES_SHOWN = 200
"""Differences printed in a table; --json prints all."""


@app.command("list")
@audited("runs.list")
def list_runs(as_json: JsonOption = False) -> None:
    """List all runs, oldest first: window, stage, and what keeps them from being exact."""
    with connect(load_settings()) as db:
        rows = runs.list_runs(db)
    trail.write_before_showing(rows=len(rows))
    if not as_json:
        rows = [_brief(row) for row in rows]
    print_rows(rows, title="Runs", as_json=as_json)


@app.command()
@audited("runs.diff")
def diff(a: RunOrLive, b: RunOrLive, as_json: JsonOption = False) -> None:
    """Compare two runs over the same frames; exit status 1 if they differ."""
    with connect(load_settings()) as db:
        comparison = compare_runs(db, a, b)
    trail.write_before_showing(comparison.by_person, runs=[a, b])
    if as_json:
        print_json(comparison.fields())
    else:
        _print_diff(comparison)
    raise typer.Exit(0 if comparison.empty else 1)


@app.command()
@audited("runs.promote")
def promote(run: Run, as_json: JsonOption = False) -> None:
    """Make a run the truth of its window; `runs rollback` makes the live run it again."""
    trail.add_subject(run=run)
    with connect(load_settings()) as db:
        promotion = promoting.promote(db, run, operator_name())
    line = f"{run} is the truth of {promotion.events} motion events"
    _print_promotion(promotion, line, as_json)


@app.command()
@audited("runs.rollback")
def rollback(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A promoted run; needed if several are promoted."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the live run the truth again of a promoted run's window."""
    trail.add_subject(run=run)
    with connect(load_settings()) as db:
        promotion = promoting.roll_back(db, run, operator_name())
    line = f"live is the truth again of {promotion.events} motion events instead of {promotion.run}"
    _print_promotion(promotion, line, as_json)


def _print_promotion(promotion: PromotionCounts, line: str, as_json: bool) -> None:
    rows = f"{promotion.sightings} rows in the access log"
    print_result(asdict(promotion), f"{line}: {rows}", as_json=as_json)


@app.command()
@audited("runs.delete")
def delete(run: Run, as_json: JsonOption = False) -> None:
    """Delete a run: its rows, topics, consumer groups and pictures."""
    trail.add_subject(run=run)
    deleted = delete_run(load_settings(), run)
    line = (
        f"deleted {run}: {deleted.topics} topics, {deleted.groups} groups,"
        f" {deleted.objects} pictures"
    )
    print_result(asdict(deleted), line, as_json=as_json)


def _print_diff(comparison: Diff) -> None:
    scope = f"{comparison.events} motion events"
    if comparison.empty:
        counts = f"{comparison.sightings[0]} sightings and {comparison.visits[0]} visits of {scope}"
        console.print(f"empty: {comparison.a} and {comparison.b} say the same, {counts}")
        return
    people = [
        {"camera": row["camera"], "person": f"{row['person']} ({row['global_id']})"}
        | {comparison.a: row["a"], comparison.b: row["b"]}
        for row in comparison.by_person
    ]
    print_rows(people, title=f"Sightings by camera and person, {scope}")
    rows = [_difference_row(comparison, difference) for difference in comparison.differences]
    print_rows(rows[:_MAX_DIFFERENCES_SHOWN], title="Sightings that differ")
    visits = [
        _difference_row(comparison, difference) for difference in comparison.visit_differences
    ]
    print_rows(visits[:_MAX_DIFFERENCES_SHOWN], title="Visits that differ")
    if len(rows) > _MAX_DIFFERENCES_SHOWN or len(visits) > _MAX_DIFFERENCES_SHOWN:
        console.print(
            f"the first {_MAX_DIFFERENCES_SHOWN} of {len(rows)} and {len(visits)}; all with --json"
        )


def _difference_row(comparison: Diff, difference: Difference) -> dict[str, Any]:
    row = difference.a or difference.b or {}
    names = {"only in a": f"only in {comparison.a}", "only in b": f"only in {comparison.b}"}
    changed = names.get(difference.kind) or _changed_columns(difference)
    line = {"time": row["timestamp"], "camera": difference.camera}
    if "track_uuid" in row:
        line["track"] = row["track_uuid"]
    return line | {
        "differs": changed,
        comparison.a: _identity(difference.a),
        comparison.b: _identity(difference.b),
    }


def _changed_columns(difference: Difference) -> str:
    """Return the columns that differ, in a few words: another track differs in nearly all."""
    if "track_uuid" in difference.changed:
        return "another track" if difference.kind == "details" else "who, and another track"
    return ", ".join(difference.changed)


def _identity(row: dict[str, Any] | None) -> str:
    """Return the name, the global id, and the path of the picture."""
    if row is None:
        return ""
    picture = f"\n{row['snapshot_path']}" if row.get("snapshot_path") else ""
    return f"{row['person_name']} ({row['global_id']}){picture}"


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": row["name"],
        "from": row["from_at"],
        "to": row["to_at"],
        "cameras": ", ".join(row["cameras"]),
        "pack": row["pack"],
        "stage": "promoted" if row["promoted_at"] else row["stage"],
        "made": row["made_at"],
        "not exact": row["detail"],
    }
