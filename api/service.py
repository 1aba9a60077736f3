"""The service `api`: REST over HTTP until a stop is requested."""

import logging
import socket
import threading

import uvicorn

from api.app import make_app
from api.settings import ApiSettings
from api.tls_certificate import Certificate
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.settings import Settings
from sightline.storage.vector_indexes import watch_indexes

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
"""Between two looks at the server and the certificate's files."""


def run(settings: Settings) -> None:
    """Listen, serve and drain: requests under way are answered, clients' tracks ended."""
    stop = start_service("api", settings)
    app = make_app(settings, stop)
    certificate = Certificate.of(ApiSettings.of(settings))
    listener = _listen(ApiSettings.of(settings))
    threading.Thread(target=watch_indexes, args=(settings, stop), name="index", daemon=True).start()
    proxies = ApiSettings.of(settings).trusted_proxies
    config = uvicorn.Config(
        app, lifespan="on", log_config=None, server_header=False,
        # Its lines would have the searches of users in them, for all who may read the log.
        access_log=False,
        # A client that is trusted without being set could give any address for its own.
        proxy_headers=bool(proxies), forwarded_allow_ips=list(proxies),
        ssl_context_factory=certificate.context if certificate else None,
    )  # fmt: skip
    serve(uvicorn.Server(config), listener, stop, certificate)


def serve(
    server: uvicorn.Server, listener: socket.socket, stop: Stop, certificate: Certificate | None
) -> None:
    """Serve until `stop`, then drain before its deadline."""
    # In the main thread uvicorn would take the signals over.
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True
    )
    thread.start()
    host, port = listener.getsockname()[:2]
    kind = "https" if certificate else "http"
    log.info("api: on %s://%s:%d", kind, f"[{host}]" if ":" in host else host, port)
    while thread.is_alive() and not stop.wait(_POLL_SECONDS):
        if certificate is not None:
            certificate.refresh()
    if not stop.is_set():
        raise InfrastructureError("api: the server has ended")
    server.config.timeout_graceful_shutdown = max(1, int(stop.remaining_seconds() / 2))
    server.should_exit = True
    thread.join(stop.remaining_seconds())


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio sends small packets at once only where it is: else an
    # answer would wait 40 ms for the client's acknowledgement of its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SightlineError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}): set"
            " SIGHTLINE_API__PORT to a free one, or to 0 for any"
        ) from error
    return listener
