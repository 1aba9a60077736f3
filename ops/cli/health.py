"""`sightline health` and `sightline log-level`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.local_stack.admin_client import request_page
from ops.terminal import JsonOption, console, print_details, print_json, print_rows
from schemas.topics import LIVE
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import LEVELS
from sightline.runtime.service_discovery import Target, targets
from sightline.runtime.settings import load_settings

_ALL = "all"

_READY = "ready"
_STUCK = "stuck"
_SILENT = "silent"


app = typer.Typer()


@app.command("health")
def _health(as_json: JsonOption = False) -> None:
    """Report every service process: "ready", "waiting" for something, "stuck", or "silent".

    Processes that `sightline run all` supervises are also "starting", "down", or "restarting":
    running after repeated failures. `age` is the seconds since the last turn of its slowest loop.
    Exits with 1 if a process is not ready, or none runs.
    """
    home = load_settings().home
    rows = _rows(home)
    if as_json:
        print_json(rows)
    elif rows:
        shown = [{name: row[name] for name in row if name != "detail"} for row in rows]
        print_rows(shown, title="Services")
        print_details((f"{row['service']} {row['instance']}", row) for row in rows)
    if not rows:
        raise SightlineError(f"no service of {home} runs: `sightline run all` starts them")
    if any(row["state"] != _READY for row in rows):
        raise typer.Exit(1)


def _rows(home: Path) -> list[dict[str, Any]]:
    """Return a row for each process that runs, and for each that a supervisor is to run."""
    from ops.local_stack.supervisor_report import STARTING, supervised_processes  # noqa: PLC0415

    # The supervisors are asked first: a process that ends meanwhile is in one of the two lists.
    expected = supervised_processes(home)
    rows = {
        (target.service, target.instance, target.address): _state(target)
        for target in targets(home)
    }
    for process in expected:
        running = [
            row
            for (service, instance, _), row in rows.items()
            if (service, instance, row["run"]) == (process.service, process.instance, LIVE)
        ]
        if process.is_failing:
            for row in running:
                row |= {"state": process.state, "detail": process.detail}
        if not running:
            state = process.state if process.is_failing else STARTING
            row = _row(process.service, process.instance, LIVE, state)
            rows[process.service, process.instance, ""] = row | {"detail": process.detail}
    return [rows[key] for key in sorted(rows)]


@app.command("log-level")
def _log_level(
    service: Annotated[str, typer.Argument(help=f"A service that runs here, or {_ALL} of them.")],
    level: Annotated[str, typer.Argument(help=f"One of {', '.join(LEVELS)}.")],
) -> None:
    """Change the log level of running services until they end."""
    if level.upper() not in LEVELS:
        raise SightlineError(f"no level {level[:20]}: choose one of {', '.join(LEVELS)}")
    running = [target for target in targets(load_settings().home) if target.is_local]
    chosen = [target for target in running if service in (_ALL, target.service)]
    if not chosen:
        names = ", ".join(sorted({target.service for target in running})) or "none"
        raise SightlineError(f"no service {service[:40]} runs here; there is: {names}")
    for target in chosen:
        status, answer = _ask(target, "/log-level", "PUT", level)
        if status != 200:
            raise SightlineError(f"{target.service} {target.instance}: {answer['status']}")
        console.print(f"{target.service} {target.instance}: {level.upper()}")


def _state(target: Target) -> dict[str, Any]:
    alive, health = _ask(target, "/healthz")
    _ready, readiness = _ask(target, "/readyz") if alive == 200 else (0, {})
    state = _SILENT if not alive else _STUCK if alive != 200 else readiness.get("status", _SILENT)
    return _row(target.service, target.instance, target.run, state) | {
        "age": health.get("age_seconds"),
        "of": ", ".join(health.get("stuck", readiness.get("waits_for", []))),
        "at": target.address,
    }


def _row(service: str, instance: str, run: str, state: str) -> dict[str, Any]:
    """Return the row of a process that says nothing of itself."""
    row = {"service": service, "instance": instance, "run": run, "state": state}
    return row | {"age": None, "of": "", "at": "", "detail": ""}


def _ask(
    target: Target, path: str, method: str = "GET", body: str = ""
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the JSON object of the answer; status 0 if there is none."""
    status, text = request_page(target, path, method=method, body=body)
    try:
        return status, dict(json.loads(text)) if status else {"status": text}
    except ValueError as error:
        return 0, {"status": f"it does not answer in JSON: {error}"}
