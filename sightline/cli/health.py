"""`sightline health`, `sightline log-level`: what each service process says of itself."""

from typing import Annotated, Any

import typer

from sightline.cli.output import JsonOption, console, print_rows
from sightline.errors import SightlineError
from sightline.log import LEVELS
from sightline.settings import load_settings
from sightline.targets import Target, targets

_ALL = "all"
_SECONDS = 5.0

_SERVES = "ready"
_STUCK = "stuck"
_AWAY = "silent"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("health")(_health)
    app.command("log-level")(_log_level)


def _health(as_json: JsonOption = False) -> None:
    """Every service process: "ready", "waiting" for something, "stuck", or "silent".

    `age` is how long ago its slowest loop came round, in seconds. Exits with 1 where one is not
    ready.
    """
    rows = [_state(target) for target in targets(load_settings().home)]
    print_rows(rows, title="Services", as_json=as_json)
    if any(row["state"] != _SERVES for row in rows):
        raise typer.Exit(1)


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
        status, said = _ask(target, "PUT", "/log-level", level)
        if status != 200:
            raise SightlineError(f"{target.service} {target.instance}: {said['status']}")
        console.print(f"{target.service} {target.instance}: {level.upper()}", highlight=False)


def _state(target: Target) -> dict[str, Any]:
    alive, health = _ask(target, "GET", "/healthz")
    _ready, readiness = _ask(target, "GET", "/readyz") if alive == 200 else (0, {})
    return {
        "service": target.service,
        "instance": target.instance,
        "run": target.run,
        "state": _AWAY if not alive else _STUCK if alive != 200 else readiness.get("status", _AWAY),
        "age": health.get("age_seconds"),
        "of": ", ".join(health.get("stuck", readiness.get("waits_for", []))),
        "at": target.address,
    }


def _ask(target: Target, method: str, path: str, body: str = "") -> tuple[int, dict[str, Any]]:
    """The status and what was said; 0 where nobody answers."""
    import httpx2  # noqa: PLC0415 - as little as possible for --help

    try:
        answer = httpx2.request(
            method, f"http://{target.near}{path}", content=body or None, timeout=_SECONDS
        )
        return answer.status_code, dict(answer.json())
    except (httpx2.HTTPError, ValueError) as error:
        return 0, {"status": f"it does not answer: {error}"}
