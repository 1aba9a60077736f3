"""How a service lives: signals, one deadline for shutdown, metrics on loopback."""

import logging
import signal
import threading
import time
from types import FrameType

from prometheus_client import start_http_server

from sightline import faults
from sightline.log import configure_logging
from sightline.settings import Settings

log = logging.getLogger(__name__)


class Stop:
    """The wish to stop, and the one deadline that all shutdown work shares."""

    def __init__(self, shutdown_seconds: float) -> None:
        self._event = threading.Event()
        self._shutdown_seconds = shutdown_seconds
        self._deadline: float | None = None

    def request(self) -> None:
        """Ask to stop; the deadline starts with the first request."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._shutdown_seconds
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause for at most so long; True as soon as a stop is wanted."""
        return self._event.wait(seconds)

    def remaining(self) -> float:
        """Seconds of the shutdown that are left; the whole of it before a stop is wanted."""
        if self._deadline is None:
            return self._shutdown_seconds
        return max(0.0, self._deadline - time.monotonic())


def start_service(name: str, settings: Settings) -> Stop:
    """Set up logging, metrics and signals for a service process; SIGTERM and SIGINT drain it."""
    configure_logging(settings.log_level)
    faults.arm(settings.faults, name)
    stop = Stop(settings.shutdown_seconds)

    def on_signal(number: int, _frame: FrameType | None) -> None:
        log.info("%s: %s, draining", name, signal.Signals(number).name)
        stop.request()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    server, _thread = start_http_server(settings.metrics_port, settings.metrics_host)
    log.info("%s: metrics on http://%s:%d/metrics", name, settings.metrics_host, server.server_port)
    return stop
