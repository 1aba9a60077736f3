"""Commands that the audit trail has: one decorator, which names what is done.

A command is decorated with `@audited("people.show")`, or stands in `EXEMPT` because it touches
nobody's data: tests/unit/test_audit_coverage.py fails for one that is neither.
"""

import inspect
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from sightline.audit.actor import Actor, command_actor
from sightline.audit.trail import Recording, checked_purpose, recorded
from sightline.runtime.connection_urls import StackPorts, is_database_given
from sightline.runtime.settings import Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])

EXEMPT = {
    "up": "starts programs",
    "down": "stops programs",
    "status": "says which programs run",
    "health": "says which programs go on",
    "log-level": "how much programs say of themselves",
    "run": "starts services; what they do nobody does",
    "topics": "makes topics, and says how they are kept",
    "db": "makes tables; `url` is the operator's own way in, which PostgreSQL's log has",
    "models": "weights, nobody's faces",
    "config": "settings, secrets hidden",
    "camera": "where cameras are; their pictures stay in their topics",
    "demo": "an installation of its own, with the people of two films",
    "audit key": "a public key",
    "encryption new-key": "random numbers",
}
"""Commands and groups of them, and why the trail need not have them."""

_PURPOSE = inspect.Parameter(
    "purpose",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        typer.Option("--purpose", help="What for; kept in the audit trail."),
    ],
)


def audited(action: str) -> Callable[[Command], Command]:
    """Have the trail say that a command was run, by whom, what for and how it ended.

    The command takes `--purpose` besides its own options. What it is about it says itself:
    `trail.about`, `trail.shown`, `trail.seal`.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*given: Any, purpose: str | None = None, **named: Any) -> Any:
            settings = load_settings()
            if not _is_set_up(settings):  # there is no trail, and nobody's data either
                return command(*given, **named)
            what_for = checked_purpose(purpose, settings)
            with recorded(Recording(settings, action, here(), what_for)):
                try:
                    return command(*given, **named)
                except typer.Exit as error:  # says how it ended, and is no failure
                    ended = error
            raise ended

        own = inspect.signature(command, eval_str=True)
        run.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*own.parameters.values(), _PURPOSE]
        )
        run.__annotations__ = {**command.__annotations__, "purpose": _PURPOSE.annotation}
        run.audit_action = action  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate


def _is_set_up(settings: Settings) -> bool:
    return is_database_given(settings) or StackPorts.load(settings.home) is not None


def here() -> Actor:
    """Whoever works at this command line, and where: the machine, or where they came from."""
    came_from = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return replace(command_actor(), address=came_from or socket.gethostname())
