"""Clocks, injected: no decision reads the system's clock by itself."""

import time
from datetime import UTC, datetime
from typing import Protocol

US_PER_SECOND = 1_000_000
"""Microseconds in a second."""

CLOCK_TOLERANCE_US = 60 * US_PER_SECOND
"""Time by which another host's clock may be ahead of ours: what is dated later is dated wrong."""


class Clock(Protocol):
    """Wall time in µs since the epoch, and monotonic seconds."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""


class SystemClock:
    """The system's clock."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()


def to_datetime(us: int) -> datetime:
    """Return the aware UTC datetime of microseconds since the Unix epoch."""
    return datetime.fromtimestamp(us // US_PER_SECOND, UTC).replace(microsecond=us % US_PER_SECOND)


def to_us(moment: datetime) -> int:
    """Return microseconds since the Unix epoch of an aware datetime."""
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * US_PER_SECOND + moment.microsecond
