"""Liveness and readiness of a service.

A loop calls `beat` on every iteration, with work or without. A loop without a beat for some time
is stuck, and only a restart helps. A service that waits for Kafka or the database goes on
beating and is not ready meanwhile: a restart would not help.
"""

from sightline.runtime.clock import Clock, SystemClock

MAIN = "main"
"""Name of the loop that every service has."""

STARTING = "start"
"""Name of the condition that holds until a service serves for the first time."""

DATABASE = "database"
KAFKA = "kafka"


class Health:
    """Liveness and readiness of one process; its methods may be called from any thread."""

    def __init__(
        self, stuck_seconds: float = 60.0, start_seconds: float = 300.0, clock: Clock | None = None
    ) -> None:
        """Start without a beat and not ready.

        A loop is stuck after `stuck_seconds` without a beat; before the first beat after
        `start_seconds`, because models have to be loaded.
        """
        self._stuck_seconds = stuck_seconds
        self._start_seconds = start_seconds
        self._clock = clock or SystemClock()
        self._began = self._clock.monotonic()
        self._beats: dict[str, float] = {}
        self._waits = {STARTING}

    def beat(self, loop: str = MAIN) -> None:
        """Note an iteration of a loop."""
        self._beats[loop] = self._clock.monotonic()

    def end_loop(self, loop: str) -> None:
        """Note that a loop has ended; no beat is expected of it any more."""
        self._beats.pop(loop, None)

    def mark_ready(self) -> None:
        """Note that the service has started; it is ready unless it waits for a dependency."""
        self._waits.discard(STARTING)

    def mark_unavailable(self, dependency: str) -> None:
        """Note that the service is not ready until a dependency is available."""
        self._waits.add(dependency)

    def mark_available(self, dependency: str) -> None:
        """Note that a dependency is available."""
        self._waits.discard(dependency)

    def report(self, dependency: str, is_available: bool) -> None:
        """Note whether a dependency is available."""
        if is_available:
            self.mark_available(dependency)
        else:
            self.mark_unavailable(dependency)

    def beat_ages(self) -> dict[str, float]:
        """Return the seconds since the last beat of each loop, or since the start."""
        now = self._clock.monotonic()
        return {loop: now - at for loop, at in {MAIN: self._began, **self._beats}.items()}

    def stuck_loops(self) -> list[str]:
        """Return the names of the loops that are stuck."""
        limits = {} if MAIN in self._beats else {MAIN: self._start_seconds}
        return sorted(
            loop
            for loop, age in self.beat_ages().items()
            if age > limits.get(loop, self._stuck_seconds)
        )

    def unavailable(self) -> list[str]:
        """Return the names of the dependencies that the service waits for; empty when ready."""
        return sorted(self._waits)
