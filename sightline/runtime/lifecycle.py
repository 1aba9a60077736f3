"""How a service lives: signals, one deadline for shutdown, an endpoint on loopback."""

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

_BEAT_SECONDS = 1.0


class Stop:
    """The wish to stop, and the one deadline that all shutdown work shares.

    Whoever looks at it is a loop, and tells the service's health so: `beat`.
    """

    def __init__(
        self, shutdown_seconds: float, health: Health | None = None, loop: str = MAIN
    ) -> None:
        """`loop`: what the loop is called that this stops, among those of the service."""
        self.health = health or Health()
        self._loop = loop
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

    def beat(self) -> None:
        """The loop has come round."""
        self.health.beat(self._loop)

    def idle(self, seconds: float) -> bool:
        """`wait` for a loop that has nothing to do: a long pause is no standstill."""
        until = time.monotonic() + seconds
        while not self and (left := until - time.monotonic()) > 0:
            self.beat()
            self.wait(min(left, _BEAT_SECONDS))
        return bool(self)

    def remaining(self) -> float:
        """Seconds of the shutdown that are left; the whole of it before a stop is wanted."""
        if self._deadline is None:
            return self._shutdown_seconds
        return max(0.0, self._deadline - time.monotonic())


def _stop_at_signals(name: str, stop: Stop) -> None:
    # A handler may interrupt anything in the main thread, itself as well, and then wait for a lock
    # that nobody else gives back: an event's, a log's. Only to put into this queue is safe there.
    came: queue.SimpleQueue[int] = queue.SimpleQueue()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        came.put(number)

    def listen() -> None:
        while True:
            number = came.get()
            log.info("%s: %s, draining", name, signal.Signals(number).name)
            stop.health.waits_for("shutdown")
            stop.request()

    threading.Thread(target=listen, name="signals", daemon=True).start()
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def start_service(name: str, settings: Settings, pages: admin_http.Pages | None = None) -> Stop:
    """Set up logging, the endpoint and signals for a service process; SIGTERM and SIGINT drain it.

    The service says `health.ready()` of what is returned once it serves. `pages` are further
    paths of its endpoint. Raises SightlineError.
    """
    instance = service_discovery.instance_of(settings)
    configure_logging(settings.log_level, settings.log_format, service=name, instance=instance)
    fault_injection.arm(settings.faults, name)
    tracing.configure(settings, name, instance)
    health = Health(settings.health.stuck_seconds, settings.health.start_seconds)
    metrics.SERVICE_READY.set_function(lambda: not health.waiting())
    metrics.LOOP_AGE_SECONDS.set_function(lambda: max(health.ages().values()))
    stop = Stop(settings.shutdown_seconds, health)

    _stop_at_signals(name, stop)
    host = settings.metrics_host
    server = admin_http.serve(host, settings.metrics_port, health, pages)
    service_discovery.announce(name, host, server.server_port, settings)
    heartbeat.beat(name, settings.health.heartbeat_seconds, health, stop.wait)
    log.info("%s: metrics and health on http://%s:%d", name, host, server.server_port)
    return stop
