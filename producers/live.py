"""A camera that does not wait for us: only its newest picture counts."""

import threading
from typing import Final

import cv2

from producers.pictures import Picture, SourceLostError, as_image
from sightline.runtime.clock import US, Clock

_POLL_SECONDS: Final = 0.2
"""How long a read waits for a new picture before it lets the caller look around."""

_CLOSE_SECONDS: Final = 1.0

_SET_US: Final = 1 * US
"""Microseconds of wall time, more or less than monotonic time, that only a set clock explains."""


class CaptureTimes:
    """Capture times of a camera's pictures by the machine's clock, growing until it is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before: tuple[int, float] | None = None  # capture time in µs, monotonic seconds

    def next(self) -> tuple[int, bool]:
        """Return the time (µs) of a picture captured now, and whether the clock was set before it.

        A clock that is set by less than a second is not followed back: times grow by 1 µs until
        it has caught up.
        """
        now_us, now_seconds = self._clock.now_us(), self._clock.monotonic()
        clock_set = False
        if self._before is not None:
            before_us, before_seconds = self._before
            passed_us = round((now_seconds - before_seconds) * US)
            clock_set = abs(now_us - before_us - passed_us) > _SET_US
            if not clock_set:
                now_us = max(now_us, before_us + 1)
        self._before = now_us, now_seconds
        return now_us, clock_set


class LiveSource:
    """The newest picture of a capture, which a thread of its own keeps empty."""

    is_live = True
    start_us: int | None = None

    def __init__(self, capture: cv2.VideoCapture, shown: str, clock: Clock) -> None:
        self._capture = capture
        self._shown = shown
        self._clock = clock
        self._news = threading.Condition()
        self._newest: Picture | None = None
        self._is_lost = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._grab_all, name="grab", daemon=True)
        self._thread.start()

    def _grab_all(self) -> None:
        times = CaptureTimes(self._clock)
        while not self._is_closed and self._capture.grab():
            captured_at_us, clock_set = times.next()
            image = as_image(self._capture.retrieve()[1])
            with self._news:
                skipped = 0
                if (unread := self._newest) is not None:
                    skipped = unread.skipped + 1
                    clock_set |= unread.clock_set
                self._newest = Picture(image, captured_at_us, skipped, clock_set=clock_set)
                self._news.notify()
        # Here and not in close(): a capture must not be released while it is being read.
        self._capture.release()
        with self._news:
            self._is_lost = True
            self._news.notify()

    def read(self) -> Picture | None:
        """The newest picture that has not been read, or None when there is none yet."""
        with self._news:
            self._news.wait_for(lambda: self._newest or self._is_lost, _POLL_SECONDS)
            picture, self._newest = self._newest, None
            if picture is None and self._is_lost:
                raise SourceLostError(f"{self._shown}: the camera has stopped sending")
            return picture

    def close(self) -> None:
        """Stop reading; a camera that hangs is let go of when its own time-out comes."""
        self._is_closed = True
        self._thread.join(_CLOSE_SECONDS)
