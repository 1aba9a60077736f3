"""Lifecycle of a service process: signals, one shutdown deadline, an endpoint on loopback."""

import logging
import queue
import signal
import threading
import time
from types import FrameType

from sightline.runtime import (
    admin_http,
    fault_injection,
    heartbeat,
    metrics,
    service_discovery,
    tracing,
)
from sightline.runtime.health import MAIN, Health
from sightline.runtime.log import configure_logging
from sightline.runtime.settings import Settings

log = logging.getLogger(__name__)

_IDLE_BEAT_SECONDS = 1.0


class Stop:
    """A request to stop, with the one deadline that all shutdown work shares.

    Modelled on `threading.Event`. A loop that checks it also reports its progress by `beat`.
    """

    def __init__(
        self, shutdown_seconds: float, health: Health | None = None, loop: str = MAIN
    ) -> None:
        """Stop the loop that `Health` knows as `loop`, within `shutdown_seconds` of the request."""
        self.health = health or Health()
        self._loop = loop
        self._event = threading.Event()
        self._shutdown_seconds = shutdown_seconds
        self._deadline: float | None = None

    def request(self) -> None:
        """Request the stop; the deadline starts with the first request."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._shutdown_seconds
        self._event.set()

    def is_set(self) -> bool:
        """Return whether a stop was requested."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause for at most `seconds`; return True as soon as a stop is requested."""
        return self._event.wait(seconds)

    def beat(self) -> None:
        """Report an iteration of the loop to the service's health."""
        self.health.beat(self._loop)

    def wait_idle(self, seconds: float) -> bool:
        """Pause like `wait`, and `beat` meanwhile: a loop without work is not stuck."""
        deadline = time.monotonic() + seconds
        while not self.is_set() and (remaining := deadline - time.monotonic()) > 0:
            self.beat()
            self.wait(min(remaining, _IDLE_BEAT_SECONDS))
        return self.is_set()

    def remaining_seconds(self) -> float:
        """Return the seconds left for the shutdown; all of them before a stop is requested."""
        if self._deadline is None:
            return self._shutdown_seconds
        return max(0.0, self._deadline - time.monotonic())


def _stop_at_signals(name: str, stop: Stop) -> None:
    # A handler may interrupt any code of the main thread, itself as well, and would then wait for a
    # lock that the interrupted code holds: an event's, a log's. Putting into this queue is safe.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    def listen() -> None:
        while True:
            number = signals.get()
            log.info("%s: %s, draining", name, signal.Signals(number).name)
            stop.health.mark_unavailable("shutdown")
            stop.request()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def start_service(name: str, settings: Settings, pages: admin_http.Pages | None = None) -> Stop:
    """Set up logging, the endpoint and signals for a service process; SIGTERM and SIGINT drain it.

    The service calls `health.ready()` on the returned Stop once it serves. `pages` are further
    paths of its endpoint. Raises SightlineError.
    """
    instance = service_discovery.instance_of(settings)
    configure_logging(settings.log_level, settings.log_format, service=name, instance=instance)
    fault_injection.arm_fault_points(settings.fault_injection, name)
    tracing.configure(settings, name, instance)
    health = Health(settings.health.stuck_seconds, settings.health.start_seconds)
    metrics.SERVICE_READY.set_function(lambda: not health.unavailable())
    metrics.LOOP_LAST_ITERATION_AGE_SECONDS.set_function(lambda: max(health.beat_ages().values()))
    stop = Stop(settings.shutdown_seconds, health)

    _stop_at_signals(name, stop)
    host = settings.metrics_host
    server = admin_http.serve(host, settings.metrics_port, health, pages)
    service_discovery.announce(name, host, server.server_port, settings)
    heartbeat.start_heartbeat(name, settings.health.heartbeat_seconds, health, stop.wait)
    log.info("%s: metrics and health on http://%s:%d", name, host, server.server_port)
    return stop
