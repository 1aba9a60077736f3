"""A camera that does not wait for us: only its newest picture counts."""

import threading
from typing import Final

import cv2

from producers.pictures import Picture, SourceLostError, as_image
from sightline.clock import Clock

_POLL_SECONDS: Final = 0.2
"""How long a read waits for a new picture before it lets the caller look around."""

_CLOSE_SECONDS: Final = 1.0


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
        before_us = 0
        while not self._is_closed and self._capture.grab():
            # The clock may be set back, capture times never are.
            before_us = max(self._clock.now_us(), before_us + 1)
            image = as_image(self._capture.retrieve()[1])
            with self._news:
                skipped = 0 if self._newest is None else self._newest.skipped + 1
                self._newest = Picture(image, before_us, skipped)
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
