"""A live camera, of which only the newest picture is used."""

import threading
from typing import Final, Protocol

from producers.source_interface import CapturedPicture, SourceLostError, as_image
from sightline.runtime.clock import US_PER_SECOND, Clock

_POLL_SECONDS: Final = 0.2
"""Longest wait within one read, so that the caller notices a stop in time."""

_CLOSE_SECONDS: Final = 1.0

_SILENT_RATIO: Final = 0.95
"""Share of the time-out after which a failed grab is a time-out: FFmpeg has a clock of its own."""

_MAX_FAILED_GRABS: Final = 30
"""Failed grabs in a row after which a camera is lost. One is a broken picture or packet."""

_CLOCK_STEP_US: Final = 1 * US_PER_SECOND
"""Difference of wall and monotonic time above which the clock must have been set."""


class Capture(Protocol):
    """The methods of `cv2.VideoCapture` that a live source uses."""

    def grab(self) -> bool:
        """Wait for the next picture; return False if there is none or it is broken."""

    def retrieve(self) -> tuple[bool, object]:
        """Decode the picture."""

    def release(self) -> None:
        """Close the camera."""


class CaptureTimes:
    """Capture times from the machine's clock, increasing until the clock is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._previous: tuple[int, float] | None = None  # capture time in µs, monotonic seconds

    def next(self) -> tuple[int, bool]:
        """Return the time (µs) of a picture captured now, and whether the clock was set before it.

        A clock that is set by less than a second is not followed back: times grow by 1 µs until
        it has caught up.
        """
        now_us, now_seconds = self._clock.now_us(), self._clock.monotonic()
        clock_set = False
        if self._previous is not None:
            before_us, before_seconds = self._previous
            passed_us = round((now_seconds - before_seconds) * US_PER_SECOND)
            clock_set = abs(now_us - before_us - passed_us) > _CLOCK_STEP_US
            if not clock_set:
                now_us = max(now_us, before_us + 1)
        self._previous = now_us, now_seconds
        return now_us, clock_set


class LiveSource:
    """The newest picture of a capture, which a thread reads continuously."""

    is_live = True
    start_us: int | None = None

    def __init__(self, capture: Capture, shown: str, clock: Clock, read_seconds: float) -> None:
        self._capture = capture
        self._read_seconds = read_seconds  # after which the capture gives up waiting
        self._failed = 0  # grabs in a row, by the thread
        self._lost_reason = "the camera has stopped sending"
        self._shown = shown
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: CapturedPicture | None = None
        self._is_lost = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._grab_all, name="grab", daemon=True)
        self._thread.start()

    def _grab_all(self) -> None:
        times = CaptureTimes(self._clock)
        while self._grab():
            captured_at_us, clock_set = times.next()
            image = as_image(self._capture.retrieve()[1])
            with self._changed:
                skipped, broken = 0, self._failed
                if (unread := self._newest) is not None:
                    skipped, broken = unread.skipped + 1, unread.broken + broken
                    clock_set |= unread.time_restarts
                self._newest = CapturedPicture(
                    image, captured_at_us, skipped, broken=broken, time_restarts=clock_set
                )
                self._changed.notify()
            self._failed = 0
        # Not in close(): a capture must not be released while it is being read.
        self._capture.release()
        with self._changed:
            self._is_lost = True
            self._changed.notify()

    def _grab(self) -> bool:
        """Grab the next picture, past broken ones; return False if the camera is lost or closed."""
        began = self._clock.monotonic()
        while not self._is_closed:
            if self._capture.grab():
                return True
            self._failed += 1
            silence = self._clock.monotonic() - began
            is_silent = silence >= _SILENT_RATIO * self._read_seconds
            if is_silent:
                self._lost_reason = (
                    f"no picture for {self._read_seconds:g} s; a slower camera needs a longer"
                    " `--timeout`"
                )
            if is_silent or self._failed >= _MAX_FAILED_GRABS:
                return False
        return False

    def read(self) -> CapturedPicture | None:
        """Return the newest unread picture, or None if there is none yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._is_lost, _POLL_SECONDS)
            picture, self._newest = self._newest, None
            if picture is None and self._is_lost:
                raise SourceLostError(f"{self._shown}: {self._lost_reason}")
            return picture

    def close(self) -> None:
        """Stop reading; a camera that hangs is released after its own time-out."""
        self._is_closed = True
        self._thread.join(_CLOSE_SECONDS)
