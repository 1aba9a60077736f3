"""Requests that the audit trail has: a dependency of each route, which names what is done.

A route says `audited("persons.show")` first of its dependencies, or stands in `EXEMPT` because
it tells of nobody: tests/unit/test_audit_coverage.py fails for one that does neither. What it is
about is its path's ids, the rows that it reads (`trail.seen`), and what it says itself. The line
is written before the answer goes out; where it cannot be, nothing does.
"""

import logging
from typing import Any
from uuid import UUID

import psycopg
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.auth.needs import actor_of
from api.parts import Given
from schemas.ids import global_id
from sightline.audit import trail
from sightline.audit.chain import Outcome
from sightline.audit.trail import Recording
from sightline.runtime.errors import InfrastructureError, SightlineError

log = logging.getLogger(__name__)

EXEMPT = {
    "/healthz": "whether the service goes on",
    "/readyz": "whether the service serves",
    "/sign-in": "a page, and who signs in: the log of the service has it",
    "/sign-in/provider": "the same, by a provider",
    "/sign-in/provider/callback": "the same, by a provider",
    "/api/v1/session": "who asks, told to themselves",
    "/openapi.json": "the API's own description",
    "/docs": "the API's own description",
    "/docs/{file}": "what its page loads",
    "/api/v1/cameras": "where cameras are, nobody's data",
    "/api/v1/cameras/{camera_id}": "the same",
    "/api/v1/calibrations": "what scores mean, nobody's data",
    "/api/v1/calibrations/{pack}": "the same",
}
"""Paths of routes, and why the trail need not have them."""


_REFUSED, _FAILED = 400, 500


class Audited:
    """Begins to record a request."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request, parts: Given) -> None:
        """Raises SightlineError where a purpose is missing or is none."""
        settings = parts.settings
        recording = Recording(settings, self.action, actor_of(request), connected=parts.db)
        recording.about(**_ids(request))
        request.state.recording = recording
        trail.begin(recording)
        recording.purpose = trail.checked_purpose(request.headers.get("x-purpose"), settings)


def audited(action: str) -> Any:
    """For a route's `dependencies`, first of them: what is refused is recorded too."""
    return Depends(Audited(action))


class Trail:
    """Sees that the trail has a request before its answer goes out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; an answer that is not in the trail becomes a problem.

        While the database is away nobody reads or changes anything: refusals go out all the same.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        is_withheld = False

        async def written(message: Message) -> None:
            nonlocal is_withheld
            recording: Recording | None = state.get("recording")
            if message["type"] != "http.response.start" or recording is None:
                pass
            elif message["status"] >= _REFUSED and scope["app"].state.health.waiting():
                log.warning("not in the audit trail: %s %s", message["status"], scope["path"])
            else:
                try:
                    await run_in_threadpool(_finish, recording, message["status"])
                except (SightlineError, InfrastructureError, psycopg.Error, PoolTimeout) as error:
                    is_withheld = True
                    answer = await problems.away(Request(scope, receive), error)
                    await answer(scope, receive, send)
            if not is_withheld:
                await send(message)

        await self._app(scope, receive, written)


def _finish(recording: Recording, status: int) -> None:
    outcome: Outcome = "done"
    if status >= _REFUSED:
        outcome = "refused" if status < _FAILED else "failed"
    if outcome != "done":
        recording.about(status=status)
    recording.finish(outcome)


def _ids(request: Request) -> dict[str, Any]:
    """What the path and the query say that it is about; names are left out."""
    found: dict[str, Any] = {}
    try:
        for name, value in request.path_params.items():
            match name:
                case "global_id":
                    found["persons"] = [int(value)]
                case "employee_id":
                    found["persons"] = [global_id(str(UUID(value)))]
                case "track":
                    found["tracks"] = [str(UUID(value))]
                case "sighting_id":
                    found["sightings"] = [str(UUID(value))]
        asked = request.query_params
        if asked.get("global_id"):
            found["persons"] = [int(asked["global_id"])]
    except ValueError:  # refused by the route, with what is wrong
        return {}
    # No parameter is called otherwise, and what is can hold what no database takes.
    filters = sorted({name for name in asked if name.isidentifier()} - {"cursor", "limit"})
    return found | ({"filters": filters} if filters else {})
