"""What every service process answers over HTTP: /metrics, /healthz, /readyz, and its log level."""

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
_MOST_BYTES = 100

Answer = tuple[str, dict[str, Any]]
"""Status line and what is said."""

Pages = Mapping[str, Callable[[], dict[str, Any]]]
"""Further paths of one service, each with the JSON object that answers a GET."""


def alive(health: Health) -> Answer:
    """Whether the loops go on: 503 with the names of those that do not."""
    ages = {loop: round(age, 1) for loop, age in health.ages().items()}
    stuck = health.stuck()
    said = {"status": "stuck" if stuck else "ok", "age_seconds": max(ages.values()), "loops": ages}
    return ("503 Service Unavailable", said | {"stuck": stuck}) if stuck else ("200 OK", said)


def ready(health: Health) -> Answer:
    """Whether the service serves: 503 with what it waits for otherwise."""
    waits = health.waiting()
    if waits:
        return "503 Service Unavailable", {"status": "waiting", "waits_for": waits}
    return "200 OK", {"status": "ready"}


class Endpoint:
    """The WSGI application."""

    def __init__(self, health: Health, pages: Pages | None = None) -> None:
        self._health = health
        self._pages = pages or {}
        self._metrics: Any = make_wsgi_app()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        match environ["REQUEST_METHOD"], environ["PATH_INFO"]:
            case "GET", "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, start)
                return answer
            case "GET", "/healthz":
                return _said(start, alive(self._health))
            case "GET", "/readyz":
                return _said(start, ready(self._health))
            case "PUT", "/log-level":
                return _said(start, _change_level(environ))
            case "GET", path if path in self._pages:
                return _said(start, ("200 OK", self._pages[path]()))
        return _said(start, ("404 Not Found", {"status": "there is nothing here"}))


def _said(start: StartResponse, answer: Answer) -> list[bytes]:
    status, said = answer
    body = json.dumps(said).encode()
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _change_level(environ: Environ) -> Answer:
    """The body is the level. From this machine alone: whoever scrapes metrics changes nothing."""
    if not environ.get("REMOTE_ADDR", "").startswith(_LOOPBACK):
        return "403 Forbidden", {"status": "from this machine only"}
    length = environ.get("CONTENT_LENGTH", "")
    body = environ["wsgi.input"].read(min(int(length), _MOST_BYTES)) if length.isdigit() else b""
    level = body.decode(errors="replace").strip().upper()
    if level not in LEVELS:
        return "400 Bad Request", {"status": f"the body has to be one of {', '.join(LEVELS)}"}
    set_level(level)
    return "200 OK", {"status": "ok", "level": level}


class _Quiet(WSGIRequestHandler):
    timeout = 10.0  # of somebody who connects and says nothing

    def log_message(self, format: str, *args: object) -> None:
        """No line for a scrape."""


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        # Not WSGIServer's, which asks the name service who we are.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(host: str, port: int, health: Health, pages: Pages | None = None) -> WSGIServer:
    """Answer from a thread from now on; 0 is any free port. Raises SightlineError."""
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, Endpoint(health, pages), kind, _Quiet)
    except OSError as error:
        raise SightlineError(
            f"cannot listen on {host} port {port} ({error.strerror}): set SIGHTLINE_METRICS_PORT"
            " to a free one, or to 0 for any"
        ) from error
    threading.Thread(target=server.serve_forever, name="endpoint", daemon=True).start()
    return server
