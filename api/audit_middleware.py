"""The audit trail of requests: a dependency of each route names the action.

A route has `audited("persons.show")` as its first dependency, or its path stands in `EXEMPT`
because it reads and changes nobody's data: tests/unit/test_audit_coverage.py fails for one that
does neither. A line is about the ids in the path, the rows that the route reads
(`trail.add_read_rows`), and what the route adds. It is written before the answer goes out; where
it cannot be, a problem goes out instead.
"""

import logging
from typing import Any
from uuid import UUID

import psycopg
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problem_details
from api.app_context import Context
from api.auth.permissions import actor_of
from schemas.ids import global_id
from sightline.audit import trail
from sightline.audit.chain import Outcome
from sightline.audit.trail import Recording
from sightline.runtime.errors import InfrastructureError, SightlineError

log = logging.getLogger(__name__)

EXEMPT = {
    "/healthz": "the state of the service",
    "/readyz": "the same",
    "/sign-in": "a sign-in: the log of the service has it",
    "/sign-in/provider": "the same, by a provider",
    "/sign-in/provider/callback": "the same, by a provider",
    "/api/v1/session": "the actor's own account",
    "/openapi.json": "the API's own description",
    "/docs": "the API's own description",
    "/docs/{file}": "the files of its page",
    "/api/v1/cameras": "cameras, nobody's data",
    "/api/v1/cameras/{camera_id}": "the same",
    "/api/v1/calibrations": "calibrations, nobody's data",
    "/api/v1/calibrations/{pack}": "the same",
}
"""Paths of routes, each with the reason why the trail need not have it."""


_REFUSED, _FAILED = 400, 500


class AuditedAction:
    """A dependency that begins to record a request."""

    def __init__(self, action: str) -> None:
        """Make the dependency of a route that does an action."""
        self.action = action

    async def __call__(self, request: Request, context: Context) -> None:
        """Begin the request's line. Raises SightlineError for a missing or bad purpose."""
        settings = context.settings
        recording = Recording(settings, self.action, actor_of(request), connected=context.db)
        recording.add_subject(**_ids(request))
        request.state.recording = recording
        trail.begin_recording(recording)
        recording.purpose = trail.checked_purpose(request.headers.get("x-purpose"), settings)


def audited(action: str) -> Any:
    """Return the first entry for a route's `dependencies`: refused requests are recorded too."""
    return Depends(AuditedAction(action))


class AuditMiddleware:
    """Writes a request's line before its answer goes out."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; an answer that is not in the trail becomes a problem.

        While the database is away no data is read or changed: refusals go out all the same.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        is_withheld = False

        async def send_audited(message: Message) -> None:
            nonlocal is_withheld
            recording: Recording | None = state.get("recording")
            if message["type"] != "http.response.start" or recording is None:
                pass
            elif message["status"] >= _REFUSED and scope["app"].state.health.unavailable():
                log.warning("not in the audit trail: %s %s", message["status"], scope["path"])
            else:
                try:
                    await run_in_threadpool(_finish, recording, message["status"])
                except (SightlineError, InfrastructureError, psycopg.Error, PoolTimeout) as error:
                    is_withheld = True
                    response = await problem_details.unavailable(Request(scope, receive), error)
                    await response(scope, receive, send)
            if not is_withheld:
                await send(message)

        await self._app(scope, receive, send_audited)


def _finish(recording: Recording, status: int) -> None:
    outcome: Outcome = "done"
    if status >= _REFUSED:
        outcome = "refused" if status < _FAILED else "failed"
    if outcome != "done":
        recording.add_subject(status=status)
    recording.finish(outcome)


def _ids(request: Request) -> dict[str, Any]:
    """Return the ids in the path and the query; names are left out."""
    ids: dict[str, Any] = {}
    try:
        for name, value in request.path_params.items():
            match name:
                case "global_id":
                    ids["persons"] = [int(value)]
                case "employee_id":
                    ids["persons"] = [global_id(str(UUID(value)))]
                case "track":
                    ids["tracks"] = [str(UUID(value))]
                case "sighting_id":
                    ids["sightings"] = [str(UUID(value))]
        query = request.query_params
        if query.get("global_id"):
            ids["persons"] = [int(query["global_id"])]
    except ValueError:  # the route refuses it
        return {}
    # Our parameters are identifiers. Other names may have characters that no database takes.
    filters = sorted({name for name in query if name.isidentifier()} - {"cursor", "limit"})
    return ids | ({"filters": filters} if filters else {})
