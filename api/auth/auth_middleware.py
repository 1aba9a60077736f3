"""Authentication before all routes, known and unknown.

Without a key or a session only the health checks and the sign-in answer.
"""

from typing import cast

import psycopg
from fastapi.concurrency import run_in_threadpool
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problem_details
from api.app_context import AppContext

PUBLIC = frozenset(
    {"/healthz", "/readyz", "/sign-in", "/sign-in/provider", "/sign-in/provider/callback"}
)
"""Paths that need no key and no session."""

_POLICY_VIOLATION = 1008


class AuthMiddleware:
    """Puts the actor into the request's state, as `actor`, or answers with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an authenticated request on. Websockets are closed before they are opened."""
        if scope["type"] in ("http", "websocket") and scope["path"] not in PUBLIC:
            context = cast(AppContext, scope["app"].state.context)
            try:
                actor = await run_in_threadpool(
                    context.authenticator.actor_of, HTTPConnection(scope)
                )
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
    handler = (
        problem_details.http_error
        if isinstance(error, HTTPException)
        else problem_details.unavailable
    )
    response = await handler(request, error)
    await response(scope, receive, send)
