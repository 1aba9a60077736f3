"""Requests counted and timed, by the route that they were for."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock

_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER: Final = "other"
"""What clients make up is no label: a method that there is not, a path that no route has."""


class Measured:
    """Sees every request, and the status that it is answered with; 500 where there is none."""

    def __init__(self, app: ASGIApp, clock: Clock | None = None) -> None:
        self._app = app
        self._clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count what comes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock.monotonic(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", _OTHER)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            metrics.API_REQUESTS.labels(method, route, status).inc()
            metrics.API_REQUEST_SECONDS.labels(route).observe(self._clock.monotonic() - began)
