"""`sightline health`, `sightline log-level`: what each service process says of itself."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ops.local_stack.admin_client import ask
from ops.terminal import JsonOption, console, print_details, print_json, print_rows
from schemas.topics import LIVE
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import LEVELS
from sightline.runtime.service_discovery import Target, targets
from sightline.runtime.settings import load_settings

_ALL = "all"

_SERVES = "ready"
_STUCK = "stuck"
_AWAY = "silent"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("health")(_health)
    app.command("log-level")(_log_level)


def _health(as_json: JsonOption = False) -> None:
    """Every service process: "ready", "waiting" for something, "stuck", or "silent".

    Of those that `sightline run all` is to run also "starting", "down", and "restarting": it runs
    and has failed again and again. `age` is how long ago its slowest loop came round, in seconds.
    Exits with 1 where one is not ready, or none runs.
    """
    home = load_settings().home
    rows = _rows(home)
    if as_json:
        print_json(rows)
    elif rows:
        shown = [{name: row[name] for name in row if name != "detail"} for row in rows]
        print_rows(shown, title="Services", as_json=False)
        print_details((f"{row['service']} {row['instance']}", row) for row in rows)
    if not rows:
        raise SightlineError(f"no service of {home} runs: `sightline run all` starts them")
    if any(row["state"] != _SERVES for row in rows):
        raise typer.Exit(1)


def _rows(home: Path) -> list[dict[str, Any]]:
    """Return a row for each process that runs, and for each that a supervisor is to run."""
    from ops.local_stack.supervised import STARTING, supervised  # noqa: PLC0415

    to_run = supervised(home)  # before the others: whoever ends meanwhile is in one of the two
    rows = {
        (target.service, target.instance, target.address): _state(target)
        for target in targets(home)
    }
    for one in to_run:
        of_it = [
            row
            for (service, instance, _), row in rows.items()
            if (service, instance, row["run"]) == (one.service, one.instance, LIVE)
        ]
        if one.is_failing:
            for row in of_it:
                row |= {"state": one.state, "detail": one.detail}
        if not of_it:
            state = one.state if one.is_failing else STARTING
            rows[one.service, one.instance, ""] = {
                "service": one.service,
                "instance": one.instance,
                "run": LIVE,
                "state": state,
                "age": None,
                "of": "",
                "at": "",
                "detail": one.detail,
            }
    return [rows[key] for key in sorted(rows)]


def _log_level(
    service: Annotated[str, typer.Argument(help=f"A service that runs here, or {_ALL} of them.")],
    level: Annotated[str, typer.Argument(help=f"One of {', '.join(LEVELS)}.")],
) -> None:
    """Change what running services log from now on, until they end."""
    if level.upper() not in LEVELS:
        raise SightlineError(f"no level {level[:20]}: choose one of {', '.join(LEVELS)}")
    running = targets(load_settings().home)
    chosen = [one for one in running if service in (_ALL, one.service) and one.is_here]
    if not chosen:
        names = ", ".join(sorted({one.service for one in running if one.is_here})) or "none"
        raise SightlineError(f"no service {service[:40]} runs here; there is: {names}")
    for target in chosen:
        status, said = _ask(target, "/log-level", "PUT", level)
        if status != 200:
            raise SightlineError(f"{target.service} {target.instance}: {said['status']}")
        console.print(f"{target.service} {target.instance}: {level.upper()}", highlight=False)


def _state(target: Target) -> dict[str, Any]:
    alive, health = _ask(target, "/healthz")
    _ready, readiness = _ask(target, "/readyz") if alive == 200 else (0, {})
    return {
        "service": target.service,
        "instance": target.instance,
        "run": target.run,
        "state": _AWAY if not alive else _STUCK if alive != 200 else readiness.get("status", _AWAY),
        "age": health.get("age_seconds"),
        "of": ", ".join(health.get("stuck", readiness.get("waits_for", []))),
        "at": target.address,
        "detail": "",
    }


def _ask(
    target: Target, path: str, method: str = "GET", body: str = ""
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the JSON object of the answer; 0 where there is none."""
    status, text = ask(target, path, method=method, body=body)
    try:
        return status, dict(json.loads(text)) if status else {"status": text}
    except ValueError as error:
        return 0, {"status": f"it does not answer in JSON: {error}"}
