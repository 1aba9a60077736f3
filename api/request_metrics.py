"""Counts and durations of requests by route."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock

_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER: Final = "other"
"""The label of unknown methods and paths: labels come from us and not from clients."""


class RequestMetrics:
    """Counts every request with the status of its answer; 500 where it has none."""

    def __init__(self, app: ASGIApp, clock: Clock | None = None) -> None:
        """Wrap an app."""
        self._app = app
        self._clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = self._clock.monotonic(), 500

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            route = getattr(scope.get("route"), "path", _OTHER)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            metrics.API_REQUESTS.labels(method, route, status).inc()
            metrics.API_REQUEST_SECONDS.labels(route).observe(self._clock.monotonic() - began)
