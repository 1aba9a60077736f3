"""A clock that tests move."""

import threading

from sightline.runtime.clock import US_PER_SECOND

START_US = 1_790_000_000 * US_PER_SECOND


class ManualClock:
    """A `sightline.runtime.clock.Clock` that stands still until it is moved, from any thread."""

    def __init__(self, now_us: int = START_US) -> None:
        self._start_us = now_us
        self._seconds = 0.0
        self._lock = threading.Lock()

    def now_us(self) -> int:
        return self._start_us + round(self._seconds * US_PER_SECOND)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._seconds += max(0.0, seconds)
