"""Motion detection: the moving fraction of a picture's pixels, and motion events from it.

Pure: time comes with the pictures. An event ends on a picture in which nothing has moved for a
while, so its last frame is known when that picture arrives and no frame has to be held back.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import cv2
import numpy as np

from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND

_DETECTION_WIDTH: Final = 320
"""Width in pixels to which a picture is scaled down; a distant person still covers 20 pixels."""

_LEARNING_SECONDS: Final = 40.0
"""Time after which an object that has stopped moving becomes background."""

_VAR_THRESHOLD: Final = 25.0
"""Squared standard deviations; with OpenCV's 16 sensor noise at night counts as motion."""


class MotionDetector:
    """A camera's background model (MOG2) with a learning rate by time, not by picture."""

    def __init__(self) -> None:
        # In colour: a red coat before a grey wall of the same brightness moves too. A shadow
        # counts: the person who throws it is near, and a dark coat looks like a shadow.
        self._model = cv2.createBackgroundSubtractorMOG2(
            varThreshold=_VAR_THRESHOLD, detectShadows=False
        )
        self._kernel = np.ones((3, 3), np.uint8)
        self._pictures = 0
        self._previous_us: int | None = None

    def moving_ratio(self, image: BGRImage, at_us: int) -> float:
        """Return the fraction of foreground pixels, 0 to 1; 1 for the first picture."""
        height, width = image.shape[:2]
        scale = min(1.0, _DETECTION_WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (5, 5), 0)
        mask = self._model.apply(small, learningRate=self._rate(at_us))
        mask = cv2.morphologyEx(np.asarray(mask), cv2.MORPH_OPEN, self._kernel)
        return float(np.count_nonzero(mask)) / mask.size

    def restart_time(self) -> None:
        """Keep the background, and count time from the next picture: the clock was set."""
        self._previous_us = None

    def _rate(self, at_us: int) -> float:
        elapsed_seconds = (
            0.0 if self._previous_us is None else (at_us - self._previous_us) / US_PER_SECOND
        )
        self._previous_us = at_us
        self._pictures += 1
        # The first pictures are averaged by number, so that the background is there after a few.
        return min(1.0, max(1.0 / self._pictures, elapsed_seconds / _LEARNING_SECONDS))


class EventPhase(Enum):
    """Position of a picture within the motion event around it."""

    IDLE = auto()  # no event
    STARTED = auto()
    CONTINUED = auto()
    ENDED = auto()  # the event's last picture


@dataclass(frozen=True, slots=True)
class GateRules:
    """Conditions under which a motion event starts and ends."""

    start_ratio: float = 0.002  # fraction of the pixels: a distant person
    start_pictures: int = 2  # in a row; with 1 a flash of light would start an event
    hold_us: int = 2 * US_PER_SECOND  # without motion, before it ends
    warm_up_us: int = 1 * US_PER_SECOND  # counts as motion, so that a film's start is not lost
    max_duration_us: int = 300 * US_PER_SECOND  # a longer event is split


class EventGate:
    """State machine from moving fractions of pictures to motion events."""

    def __init__(self, rules: GateRules | None = None) -> None:
        self._rules = rules or GateRules()
        self._first_us: int | None = None  # of the very first picture
        self._started_us: int | None = None  # of the open event
        self._moved_us = 0  # of the last picture with motion
        self._in_a_row = 0

    @property
    def is_open(self) -> bool:
        """True while an event has started and not ended."""
        return self._started_us is not None

    def process(self, moving_ratio: float, at_us: int) -> EventPhase:
        """Process the next picture's moving fraction (0 to 1) and its increasing time (µs)."""
        rules = self._rules
        if self._first_us is None:
            self._first_us = at_us
        warming = at_us - self._first_us < rules.warm_up_us
        moving = warming or moving_ratio >= rules.start_ratio
        self._in_a_row = self._in_a_row + 1 if moving else 0
        if moving:
            self._moved_us = at_us
        if self._started_us is None:
            return self._try_start(at_us, at_once=warming)
        if not moving and at_us - self._moved_us >= rules.hold_us:
            return self._end()
        if at_us - self._started_us >= rules.max_duration_us:
            # A motion that lasts starts the next event with the very next picture.
            self._in_a_row = rules.start_pictures
            return self._end()
        return EventPhase.CONTINUED

    def _try_start(self, at_us: int, *, at_once: bool) -> EventPhase:
        if not at_once and self._in_a_row < self._rules.start_pictures:
            return EventPhase.IDLE
        self._started_us = at_us
        return EventPhase.STARTED

    def _end(self) -> EventPhase:
        self._started_us = None
        return EventPhase.ENDED

    def end(self) -> None:
        """End the open event: the film, the camera or the service has ended."""
        self._started_us = None
