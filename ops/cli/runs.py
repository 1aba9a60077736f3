"""`sightline runs`: passes over the frames, compared, made the truth, deleted."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ops.cli.audited import audited
from ops.cli.caller import caller
from ops.runs import promote as promoting
from ops.runs.delete import delete as delete_run
from ops.runs.diff import Diff, Difference
from ops.runs.diff import diff as compare_runs
from ops.terminal import JsonOption, console, print_json, print_rows
from schemas.topics import LIVE
from sightline.audit import trail
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import load_settings
from sightline.storage import runs
from sightline.storage.db import connect

app = typer.Typer(help="Passes over the frames: replays beside the live one.", no_args_is_help=True)

Pass = Annotated[str, typer.Argument(help="A run, or `live`.", show_default=False)]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run.", show_default=False)]

_SHOWN = 200
"""Differences in a table; --json has all."""


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="runs")


@app.command("list")
@audited("runs.list")
def list_runs(as_json: JsonOption = False) -> None:
    """Every run: over what, how far it is, and what keeps it from being exact; oldest first."""
    with connect(load_settings()) as db:
        rows = runs.listed(db)
    trail.shown(rows=len(rows))
    if not as_json:
        rows = [_shown(row) for row in rows]
    print_rows(rows, title="Runs", as_json=as_json)


@app.command()
@audited("runs.diff")
def diff(a: Pass, b: Pass, as_json: JsonOption = False) -> None:
    """What two passes over the same frames say differently; exit status 1 where they do."""
    with connect(load_settings()) as db:
        found = compare_runs(db, a, b)
    trail.shown(found.by_person, runs=[a, b])
    if as_json:
        print_json(found.told())
    else:
        _print_diff(found)
    raise typer.Exit(0 if found.empty else 1)


@app.command()
@audited("runs.promote")
def promote(
    run: Pass,
    instead_of: Annotated[
        str | None,
        typer.Option("--instead-of", help="With `live`: the run that is the truth no more."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a run the truth of its window; `live` takes that back."""
    trail.about(run=run, instead_of=instead_of)
    if instead_of is not None and run != LIVE:
        raise SightlineError("--instead-of goes with `live`: take the other run back first")
    with connect(load_settings()) as db:
        if run == LIVE:
            done = promoting.take_back(db, instead_of, caller())
            line = f"live is the truth again of {done.events} motion events instead of {done.run}"
        else:
            done = promoting.promote(db, run, caller())
            line = f"{run} is the truth of {done.events} motion events"
    _say(asdict(done), f"{line}: {done.sightings} rows in the access log", as_json)


@app.command()
@audited("runs.delete")
def delete(run: Run, as_json: JsonOption = False) -> None:
    """Delete a run: its rows, topics, consumer groups and pictures."""
    trail.about(run=run)
    done = delete_run(load_settings(), run)
    line = f"deleted {run}: {done.topics} topics, {done.groups} groups, {done.objects} pictures"
    _say(asdict(done), line, as_json)


def _print_diff(found: Diff) -> None:
    over = f"{found.events} motion events"
    if found.empty:
        same = f"{found.sightings[0]} sightings and {found.visits[0]} visits of {over}"
        console.print(f"empty: {found.a} and {found.b} say the same, {same}", highlight=False)
        return
    people = [
        {"camera": row["camera"], "person": f"{row['person']} ({row['global_id']})"}
        | {found.a: row["a"], found.b: row["b"]}
        for row in found.by_person
    ]
    print_rows(people, title=f"Sightings by camera and person, {over}", as_json=False)
    rows = [_line(found, one) for one in found.differences]
    print_rows(rows[:_SHOWN], title="Sightings that differ", as_json=False)
    visits = [_line(found, one) for one in found.visit_differences]
    print_rows(visits[:_SHOWN], title="Visits that differ", as_json=False)
    if len(rows) > _SHOWN or len(visits) > _SHOWN:
        console.print(f"the first {_SHOWN} of {len(rows)} and {len(visits)}; all with --json")


def _line(found: Diff, one: Difference) -> dict[str, Any]:
    row = one.a or one.b or {}
    names = {"only in a": f"only in {found.a}", "only in b": f"only in {found.b}"}
    what = names.get(one.kind) or _columns(one)
    line = {"time": row["timestamp"], "camera": one.camera}
    if "track_uuid" in row:
        line["track"] = row["track_uuid"]
    return line | {
        "differs": what,
        found.a: _who(one.a),
        found.b: _who(one.b),
    }


def _columns(one: Difference) -> str:
    """What differs, in a few words: of another track nearly everything does."""
    if "track_uuid" in one.changed:
        return "another track" if one.kind == "details" else "who, and another track"
    return ", ".join(one.changed)


def _who(row: dict[str, Any] | None) -> str:
    """Who was seen, and the picture."""
    if row is None:
        return ""
    picture = f"\n{row['snapshot_path']}" if row.get("snapshot_path") else ""
    return f"{row['person_name']} ({row['global_id']}){picture}"


def _say(told: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        console.print(line, highlight=False, markup=False)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
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
