"""Drawn scenes for the motion gate: a room with furniture, and somebody or something in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi, sin

import cv2
import numpy as np

from producers.event_cutter import EventCutter, EventFrame, StillRules
from producers.frame_accounting import FrameCounts
from producers.source_interface import CapturedPicture
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.cameras import CameraSettings

START = 1_700_000_000 * US_PER_SECOND
WIDTH, HEIGHT = 640, 360
GRAINS = 7


def texture(height: int, width: int, seed: int, grain: int, levels: float) -> BGRImage:
    """Coloured spots of so many pixels, around a colour."""
    dice = np.random.default_rng(seed)
    size = (max(2, height // grain), max(2, width // grain), 3)
    spots = dice.normal(0, levels, size) + dice.uniform(60, 180, 3)
    large = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


def make_room(levels: float = 12) -> BGRImage:
    room = texture(HEIGHT, WIDTH, 1, 24, levels)
    room[250:] = texture(110, WIDTH, 2, 12, levels)
    for number, (x, y, width, height) in enumerate(
        [(40, 60, 120, 90), (420, 40, 90, 200), (230, 180, 140, 70), (540, 220, 80, 120)]
    ):
        room[y : y + height, x : x + width] = texture(height, width, 10 + number, 20, levels)
    return room


@dataclass
class Figure:
    """Something of a height in pixels; its shape is that of a standing person, or a box."""

    height: int = 240
    seed: int = 50
    is_box: bool = False
    picture: BGRImage = field(init=False)
    shape: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        width = self.height * 2 // 5
        self.picture = texture(self.height, width, self.seed, max(4, self.height // 12), 25)
        self.shape = np.zeros((self.height, width), np.float32)
        if self.is_box:
            self.shape[:] = 1
            return
        centre = (width // 2, self.height // 8)
        cv2.circle(self.shape, centre, self.height // 9, 1.0, -1)
        body = np.array(
            [[0.2, 0.28], [0.8, 0.28], [0.9, 0.6], [0.7, 0.62], [0.72, 1], [0.28, 1], [0.3, 0.62],
             [0.1, 0.6]]
        ) * [width, self.height]  # fmt: skip
        cv2.fillPoly(self.shape, [np.rint(body).astype(np.int32)], 1.0)

    def paste(self, picture: BGRImage, x: float, bottom: float = 345.0) -> None:
        """Draw it with its middle at x; fractions of a pixel are drawn."""
        height, width = self.shape.shape
        move = np.array([[1, 0, x - width / 2], [0, 1, bottom - height]], np.float32)
        size = (WIDTH, HEIGHT)
        alpha = cv2.warpAffine(self.shape, move, size)[..., np.newaxis]
        colours = cv2.warpAffine(self.picture, move, size).astype(np.float32)
        picture[:] = (picture * (1 - alpha) + colours * alpha).astype(np.uint8)


def sway(second: float, amplitude: float, period: float = 3.7) -> float:
    return amplitude * sin(2 * pi * second / period)


Draw = Callable[[BGRImage, float], None]
"""Changes a picture of the empty room into that of a second."""


@dataclass
class Outcome:
    frames: list[EventFrame]
    counts: FrameCounts

    @property
    def events(self) -> list[tuple[float, float, int]]:
        """Begin and end in seconds, and frames, of each event."""
        spans: dict[str, list[float]] = {}
        for frame in self.frames:
            at = (frame.captured_at_us - START) / US_PER_SECOND
            spans.setdefault(frame.event.event_id, []).append(at)
        return [(times[0], times[-1], len(times)) for times in spans.values()]

    def published(self, begin: float, end: float) -> int:
        return sum(
            begin <= (frame.captured_at_us - START) / US_PER_SECOND < end for frame in self.frames
        )


def play(
    draw: Draw,
    seconds: float,
    *,
    fps: float = 5,
    noise: float = 3.0,
    room: BGRImage | None = None,
    rules: StillRules | None = None,
    settings: CameraSettings | None = None,
) -> Outcome:
    """Cut a film of a room into events."""
    empty = make_room() if room is None else room
    dice = np.random.default_rng(9)
    grains = [dice.normal(0, noise, (HEIGHT, WIDTH, 3)).astype(np.float32) for _ in range(GRAINS)]
    counts = FrameCounts()
    cutter = EventCutter("scene", settings or CameraSettings(), counts, 0, rules)
    frames: list[EventFrame] = []
    count = round(seconds * fps)
    for number in range(count):
        picture = empty.copy()
        draw(picture, number / fps)
        noisy = np.clip(picture + grains[number % GRAINS], 0, 255).astype(np.uint8)
        at_us = START + round(number * US_PER_SECOND / fps)
        frames += cutter.process(CapturedPicture(noisy, at_us, last=number == count - 1))
    for frame in frames:  # a test keeps thousands of them
        object.__setattr__(frame, "image", noisy[:1, :1])
    return Outcome(frames, counts)
