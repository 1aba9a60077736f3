"""Commands that the audit trail has: one decorator, which names what is done.

A command is decorated with `@audited("people.show")`, or with `@not_audited("why")` where it
touches nobody's data; tests/unit/test_audit_coverage.py fails for one that is neither.
"""

import inspect
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from sightline.access.actor import Actor, command_actor
from sightline.audit.trail import Recording, checked_purpose, recorded
from sightline.settings import load_settings

Command = TypeVar("Command", bound=Callable[..., Any])

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
            what_for = checked_purpose(purpose, settings)
            with recorded(Recording(settings, action, here(), what_for)):
                return command(*given, **named)

        own = inspect.signature(command, eval_str=True)
        run.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*own.parameters.values(), _PURPOSE]
        )
        run.__annotations__ = {**command.__annotations__, "purpose": _PURPOSE.annotation}
        run.audit_action = action  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate


def not_audited(reason: str) -> Callable[[Command], Command]:
    """Say why the trail need not have a command."""

    def decorate(command: Command) -> Command:
        command.audit_exempt = reason  # type: ignore[attr-defined]
        return command

    return decorate


def here() -> Actor:
    """Whoever works at this command line, and where: the machine, or where they came from."""
    came_from = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return replace(command_actor(), address=came_from or socket.gethostname())
