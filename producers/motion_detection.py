"""Motion detection: the moving fraction of a picture's pixels, and motion events from it.

Pure: time comes with the pictures. An event ends on a picture in which nothing has moved for a
while and nobody stands still, so its last frame is known when that picture arrives and no frame
has to be held back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import cv2
import numpy as np

from producers.region_outline import Mask
from producers.still_foreground import StillForeground
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.camera_masks import Polygon

_DETECTION_WIDTH: Final = 320
"""Width in pixels to which a picture is scaled down; a distant person still covers 20 pixels."""

_LEARNING_SECONDS: Final = 40.0
"""Time in which the model forgets. Its weights are such that an object that has stopped moving is
no motion any more after a tenth of it."""

_VAR_THRESHOLD: Final = 25.0
"""Squared standard deviations; with OpenCV's 16 sensor noise at night counts as motion."""

_START_RATIO: Final = 0.002
"""Fraction of the pixels in motion that starts an event: a distant person."""

DEFAULT_STILL_US: Final = 5400 * US_PER_SECOND
"""Time without any change after which something that stands in the picture is background."""


class MotionDetector:
    """A camera's background models: of seconds (MOG2) for motion, of hours for who stands still.

    Learning rates go by time, not by picture. `ignored` are polygons in fractions of the picture in
    which nothing counts.
    """

    def __init__(self, still_us: int = DEFAULT_STILL_US, ignored: Sequence[Polygon] = ()) -> None:
        # In colour: a red coat before a grey wall of the same brightness moves too. A shadow
        # counts: the person who throws it is near, and a dark coat looks like a shadow.
        self._model = cv2.createBackgroundSubtractorMOG2(
            varThreshold=_VAR_THRESHOLD, detectShadows=False
        )
        self._kernel = np.ones((3, 3), np.uint8)
        self._pictures = 0
        self._previous_us: int | None = None
        self._ignored = ignored
        self._allowed: Mask | None = None
        self._foreground = StillForeground(still_us)

    @property
    def has_foreground(self) -> bool:
        """True while something that came in stands still, as of the newest picture."""
        return self._foreground.has_foreground

    def moving_ratio(self, image: BGRImage, at_us: int) -> float:
        """Return the fraction of foreground pixels, 0 to 1; 1 for the first picture."""
        height, width = image.shape[:2]
        scale = min(1.0, _DETECTION_WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (5, 5), 0)
        elapsed_us = 0 if self._previous_us is None else at_us - self._previous_us
        self._previous_us = at_us
        mask = self._model.apply(small, learningRate=self._rate(elapsed_us))
        opened = cv2.morphologyEx(np.asarray(mask), cv2.MORPH_OPEN, self._kernel)
        moving = np.asarray(opened, np.uint8)
        if self._ignored:
            if self._allowed is None or self._allowed.shape != moving.shape:
                self._allowed = _outside_of(self._ignored, size)
            moving &= self._allowed
        ratio = float(np.count_nonzero(moving)) / moving.size
        self._foreground.update(
            np.asarray(small, np.uint8),
            moving,
            elapsed_us,
            in_motion=ratio >= _START_RATIO,
            allowed=self._allowed,
        )
        return ratio

    def restart_time(self) -> None:
        """Keep the background, and count time from the next picture: the clock was set."""
        self._previous_us = None

    def release_foreground(self) -> None:
        """Take all that stands still for background."""
        self._foreground.release()

    def _rate(self, elapsed_us: int) -> float:
        self._pictures += 1
        # The first pictures are averaged by number, so that the background is there after a few.
        elapsed_seconds = elapsed_us / US_PER_SECOND
        return min(1.0, max(1.0 / self._pictures, elapsed_seconds / _LEARNING_SECONDS))


def _outside_of(polygons: Sequence[Polygon], size: tuple[int, int]) -> Mask:
    """Return the mask of a picture's pixels, by its width and height, that are in no polygon."""
    width, height = size
    mask = np.full((height, width), 255, np.uint8)
    scale = np.array([width, height], np.float64)
    corners = [np.rint(np.array(polygon) * scale).astype(np.int32) for polygon in polygons]
    for polygon in corners:  # drawn at once, polygons that overlap would cancel out
        cv2.fillPoly(mask, [polygon], 0)
    return mask


class EventPhase(Enum):
    """Position of a picture within the motion event around it."""

    IDLE = auto()  # no event
    STARTED = auto()
    CONTINUED = auto()
    STILL = auto()  # within the event nothing moves, and something that came stands there
    ENDED = auto()  # the event's last picture


@dataclass(frozen=True, slots=True)
class GateRules:
    """Conditions under which a motion event starts and ends."""

    start_ratio: float = _START_RATIO
    start_pictures: int = 2  # in a row; with 1 a flash of light would start an event
    hold_us: int = 2 * US_PER_SECOND  # without motion, before it ends or is still
    warm_up_us: int = 1 * US_PER_SECOND  # counts as motion, so that a film's start is not lost
    max_duration_us: int = 43_200 * US_PER_SECOND  # a longer event is split


class EventGate:
    """State machine from moving fractions of pictures to motion events."""

    def __init__(self, rules: GateRules | None = None) -> None:
        self._rules = rules or GateRules()
        self._first_us: int | None = None  # of the very first picture
        self._started_us: int | None = None  # of the open event
        self._moved_us = 0  # of the last picture with motion
        self._present_us = 0  # of the last picture with motion, or with something still
        self._in_a_row = 0

    @property
    def is_open(self) -> bool:
        """True while an event has started and not ended."""
        return self._started_us is not None

    def process(
        self, moving_ratio: float, at_us: int, *, has_foreground: bool = False
    ) -> EventPhase:
        """Process the next picture's moving fraction (0 to 1) and its increasing time (µs).

        `has_foreground` says that something that came into the picture stands still in it.
        """
        rules = self._rules
        if self._first_us is None:
            self._first_us = at_us
        warming = at_us - self._first_us < rules.warm_up_us
        moving = warming or moving_ratio >= rules.start_ratio
        self._in_a_row = self._in_a_row + 1 if moving else 0
        if moving:
            self._moved_us = at_us
        if moving or has_foreground:
            self._present_us = at_us
        if self._started_us is None:
            return self._try_start(at_us, at_once=warming or has_foreground)
        if at_us - self._present_us >= rules.hold_us:
            return self._end()
        if at_us - self._started_us >= rules.max_duration_us:
            # A motion that lasts starts the next event with the very next picture.
            self._in_a_row = rules.start_pictures
            return self._end()
        is_still = at_us - self._moved_us >= rules.hold_us
        return EventPhase.STILL if is_still else EventPhase.CONTINUED

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
