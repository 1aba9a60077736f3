"""When something moves: pictures to a share of moving pixels, and that to motion events.

Pure: time comes with the pictures. A frame with which an event ends is known as the last one
when it is seen, because an event ends on a picture in which nothing has moved for a while:
no frame has to be held back.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import cv2
import numpy as np

from producers.pictures import BGRImage
from sightline.runtime.clock import US

_WIDTH: Final = 320
"""Pixels of the picture that motion is looked for in: a far person is 20 of them still."""

_LEARNING_SECONDS: Final = 40.0
"""After about so long what has stopped moving belongs to the background."""

_VAR_THRESHOLD: Final = 25.0
"""Squared standard deviations; OpenCV's 16 lets a noisy sensor move at night."""


class MotionDetector:
    """A camera's background (MOG2), learnt by time and not by number of pictures."""

    def __init__(self) -> None:
        # In colour: a red coat before a grey wall of the same brightness moves too. A shadow
        # counts: who throws it is near, and a dark coat looks like one.
        self._model = cv2.createBackgroundSubtractorMOG2(
            varThreshold=_VAR_THRESHOLD, detectShadows=False
        )
        self._kernel = np.ones((3, 3), np.uint8)
        self._pictures = 0
        self._before_us: int | None = None

    def moving(self, image: BGRImage, at_us: int) -> float:
        """The share of pixels, 0 to 1, that are not background; 1 for the first picture."""
        height, width = image.shape[:2]
        scale = min(1.0, _WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (5, 5), 0)
        mask = self._model.apply(small, learningRate=self._rate(at_us))
        mask = cv2.morphologyEx(np.asarray(mask), cv2.MORPH_OPEN, self._kernel)
        return float(np.count_nonzero(mask)) / mask.size

    def restart_time(self) -> None:
        """Keep the background, and count time from the next picture: the clock was set."""
        self._before_us = None

    def _rate(self, at_us: int) -> float:
        since = 0.0 if self._before_us is None else (at_us - self._before_us) / US
        self._before_us = at_us
        self._pictures += 1
        # The first pictures count by number, so that the background stands after a few.
        return min(1.0, max(1.0 / self._pictures, since / _LEARNING_SECONDS))


class Step(Enum):
    """What a picture is to the motion event around it."""

    IDLE = auto()  # belongs to none
    STARTED = auto()
    CONTINUED = auto()
    ENDED = auto()  # the event's last picture


@dataclass(frozen=True, slots=True)
class GateRules:
    """When an event opens and closes."""

    open_share: float = 0.002  # of the pixels; a person far away
    open_pictures: int = 2  # in a row, or a flash of light would open one
    hold_us: int = 2 * US  # without motion, before it closes
    warm_up_us: int = 1 * US  # counts as motion: nothing of a film's start is lost
    longest_us: int = 300 * US  # then it is cut


class EventGate:
    """Shares of moving pixels to motion events."""

    def __init__(self, rules: GateRules | None = None) -> None:
        self._rules = rules or GateRules()
        self._first_us: int | None = None  # the first picture of all
        self._started_us: int | None = None  # of the open event
        self._moved_us = 0  # when something last moved
        self._in_a_row = 0

    @property
    def is_open(self) -> bool:
        """An event is on."""
        return self._started_us is not None

    def feed(self, share: float, at_us: int) -> Step:
        """Take the next picture's share of moving pixels; times grow."""
        rules = self._rules
        if self._first_us is None:
            self._first_us = at_us
        warming = at_us - self._first_us < rules.warm_up_us
        moving = warming or share >= rules.open_share
        self._in_a_row = self._in_a_row + 1 if moving else 0
        if moving:
            self._moved_us = at_us
        if self._started_us is None:
            return self._closed(at_us, at_once=warming)
        if not moving and at_us - self._moved_us >= rules.hold_us:
            return self._end()
        if at_us - self._started_us >= rules.longest_us:
            # What still moves goes on in the next event, with the very next picture.
            self._in_a_row = rules.open_pictures
            return self._end()
        return Step.CONTINUED

    def _closed(self, at_us: int, *, at_once: bool) -> Step:
        if not at_once and self._in_a_row < self._rules.open_pictures:
            return Step.IDLE
        self._started_us = at_us
        return Step.STARTED

    def _end(self) -> Step:
        self._started_us = None
        return Step.ENDED

    def end(self) -> None:
        """The event is over for a reason of its own: the film, the camera or the service ended."""
        self._started_us = None
