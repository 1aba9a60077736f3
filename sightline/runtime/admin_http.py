"""HTTP endpoint of a service process: /metrics, /healthz, /readyz and its log level."""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sightline.runtime.errors import SightlineError
from sightline.runtime.health import Health
from sightline.runtime.log import LEVELS, set_level

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Environ = dict[str, Any]

_LOOPBACK = ("127.", "::1", "::ffff:127.")
_MAX_BODY_BYTES = 100

Answer = tuple[str, dict[str, Any]]
"""Status line, and the JSON object of the body."""

Pages = Mapping[str, Callable[[], dict[str, Any]]]
"""Further paths of a service, each with a function that returns the JSON object of a GET."""


def liveness(health: Health) -> Answer:
    """Return the liveness: 503 with the names of the loops that are stuck."""
    ages = {loop: round(age, 1) for loop, age in health.beat_ages().items()}
    stuck = health.stuck_loops()
    report = {
        "status": "stuck" if stuck else "ok",
        "age_seconds": max(ages.values()),
        "loops": ages,
    }
    return ("503 Service Unavailable", report | {"stuck": stuck}) if stuck else ("200 OK", report)


def readiness(health: Health) -> Answer:
    """Return the readiness: 503 with the dependencies that the service waits for."""
    waits = health.unavailable()
    if waits:
        return "503 Service Unavailable", {"status": "waiting", "waits_for": waits}
    return "200 OK", {"status": "ready"}


class AdminApplication:
    """The endpoint's WSGI application."""

    def __init__(self, health: Health, pages: Pages | None = None) -> None:
        self._health = health
        self._pages = pages or {}
        self._metrics: Any = make_wsgi_app()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "GET", "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, start)
                return answer
            case "GET", "/healthz":
                return _respond(start, liveness(self._health))
            case "GET", "/readyz":
                return _respond(start, readiness(self._health))
            case "PUT", "/log-level":
                return _respond(start, _change_level(environ))
            case "GET", path if path in self._pages:
                return _respond(start, ("200 OK", self._pages[path]()))
        return _respond(start, ("404 Not Found", {"status": "there is nothing here"}))


def _respond(start: StartResponse, answer: Answer) -> list[bytes]:
    status, content = answer
    body = json.dumps(content).encode()
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _change_level(environ: Environ) -> Answer:
    """Set the log level that the body names; a request from another host is refused."""
    if not environ.get("REMOTE_ADDR", "").startswith(_LOOPBACK):
        return "403 Forbidden", {"status": "from this machine only"}
    length = environ.get("CONTENT_LENGTH", "")
    body = (
        environ["wsgi.input"].read(min(int(length), _MAX_BODY_BYTES)) if length.isdigit() else b""
    )
    level = body.decode(errors="replace").strip().upper()
    if level not in LEVELS:
        return "400 Bad Request", {"status": f"the body has to be one of {', '.join(LEVELS)}"}
    set_level(level)
    return "200 OK", {"status": "ok", "level": level}


class _QuietHandler(WSGIRequestHandler):
    timeout = 10.0  # seconds for a client that connects and sends nothing

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing for a scrape."""


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        # WSGIServer's own method would ask the name service for this host's name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(host: str, port: int, health: Health, pages: Pages | None = None) -> WSGIServer:
    """Start answering in a thread; port 0 is any free port. Raises SightlineError."""
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, AdminApplication(health, pages), kind, _QuietHandler)
    except OSError as error:
        raise SightlineError(
            f"cannot listen on {host} port {port} ({error.strerror}): set SIGHTLINE_METRICS_PORT"
            " to a free one, or to 0 for any"
        ) from error
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()
    return server
