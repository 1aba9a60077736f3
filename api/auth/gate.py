"""The gate before all routes, known and unknown.

Without a key or a session only health answers, and where people sign in.
"""

from typing import cast

import psycopg
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.parts import Parts

PUBLIC = frozenset(
    {"/healthz", "/readyz", "/sign-in", "/sign-in/provider", "/sign-in/provider/callback"}
)
"""Paths that anybody may ask."""

_POLICY_VIOLATION = 1008


class Gate:
    """Puts the actor into the request's state, as `actor`, or answers with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on whom the door knows. Websockets are closed before they are opened."""
        if scope["type"] in ("http", "websocket") and scope["path"] not in PUBLIC:
            parts = cast(Parts, scope["app"].state.parts)
            try:
                actor = await run_in_threadpool(parts.door.who, HTTPConnection(scope))
            except (HTTPException, psycopg.Error, PoolTimeout) as error:
                await _refuse(error, scope, receive, send)
                return
            scope.setdefault("state", {})["actor"] = actor
        await self._app(scope, receive, send)


async def _refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    request = Request(scope, receive)
    answer = problems.http if isinstance(error, HTTPException) else problems.away
    response = await answer(request, error)
    await response(scope, receive, send)
