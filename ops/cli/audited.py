"""Decorator that records a command in the audit trail under the name of an action.

A command is decorated with `@audited("employees.show")`, or stands in `EXEMPT` because it touches
no personal data: tests/unit/test_audit_coverage.py fails for a command that is neither.
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
from sightline.audit.trail import Recording, checked_purpose, record_access
from sightline.runtime.connection_urls import StackState, is_database_external
from sightline.runtime.settings import Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])

EXEMPT = {
    "up": "starts programs",
    "down": "stops programs",
    "status": "reports the programs that run",
    "health": "reports the health of programs",
    "log-level": "sets how much programs log",
    "run": "starts services; what they do is no person's action",
    "topics": "creates topics, and lists their retention",
    "db": "migrates tables; PostgreSQL logs what is done with its `url`",
    "models": "weights, no personal data",
    "config": "settings, secrets hidden",
    "camera": "addresses and places of cameras; frames stay in their topics",
    "demo": "an installation of its own, with the persons of two films",
    "audit key": "a public key",
    "encryption new-key": "random numbers",
}
"""Commands and groups that the trail does not record, each with the reason."""

_PURPOSE = inspect.Parameter(
    "purpose",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None, typer.Option("--purpose", help="What for; kept in the audit trail.")
    ],
)


def audited(action: str) -> Callable[[Command], Command]:
    """Record each run of a command in the trail: actor, purpose and outcome.

    The command takes `--purpose` besides its own options. It reports the persons and rows that it
    is about itself: `trail.add_subject`, `trail.write_before_showing`, `trail.write_entry`.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*arguments: Any, purpose: str | None = None, **options: Any) -> Any:
            settings = load_settings()
            if not _is_set_up(settings):  # there is no trail, and no personal data either
                return command(*arguments, **options)
            checked = checked_purpose(purpose, settings)
            with record_access(Recording(settings, action, operator(), checked)):
                try:
                    return command(*arguments, **options)
                except typer.Exit as error:  # it carries the exit status, and is no failure
                    exit_request = error
            raise exit_request

        signature = inspect.signature(command, eval_str=True)
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), _PURPOSE]
        )
        run.__annotations__ = {**command.__annotations__, "purpose": _PURPOSE.annotation}
        run.audit_action = action  # type: ignore[attr-defined]
        return run  # type: ignore[return-value]

    return decorate


def _is_set_up(settings: Settings) -> bool:
    return is_database_external(settings) or StackState.load(settings.home) is not None


def operator() -> Actor:
    """Return the operator at this command line, with the host name or the SSH client's address."""
    ssh_client = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    return replace(command_actor(), address=ssh_client or socket.gethostname())
