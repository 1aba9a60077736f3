"""Drawn scenes for the motion gate: a room with furniture, and somebody or something in it.

Pictures have the size at which motion is searched for; places are pixels of a film of 640x360.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import pi, sin

import cv2
import numpy as np

from producers.event_cutter import EventCutter, EventFrame, StillRules
from producers.frame_accounting import FrameCounts
from producers.source_interface import CapturedPicture
from sightline.models.interface import BGRImage, Float32Array
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.cameras import CameraSettings

START = 1_700_000_000 * US_PER_SECOND
WIDTH, HEIGHT = 320, 180
FPS = 4
_GRAINS = 7


def texture(height: int, width: int, seed: int, grain: int, levels: float) -> BGRImage:
    """Coloured spots of so many pixels, around a colour."""
    dice = np.random.default_rng(seed)
    size = (max(2, height // grain), max(2, width // grain), 3)
    spots = dice.normal(0, levels, size) + dice.uniform(60, 180, 3)
    large = cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


@cache
def room() -> BGRImage:
    picture = texture(HEIGHT, WIDTH, 1, 12, 12)
    picture[125:] = texture(55, WIDTH, 2, 6, 12)
    furniture = [(20, 30, 60, 45), (210, 20, 45, 100), (115, 90, 70, 35), (270, 110, 40, 60)]
    for number, (x, y, width, height) in enumerate(furniture):
        picture[y : y + height, x : x + width] = texture(height, width, 10 + number, 10, 12)
    return picture


@cache
def _figure(height: int, is_box: bool) -> tuple[BGRImage, Float32Array]:
    width = height * 2 // 5
    picture = texture(height, width, 50 + is_box, max(4, height // 12), 25)
    shape = np.full((height, width), float(is_box), np.float32)
    if not is_box:
        cv2.circle(shape, (width // 2, height // 8), height // 9, 1.0, -1)
        body = np.array(
            [[0.2, 0.28], [0.8, 0.28], [0.9, 0.6], [0.7, 0.62], [0.72, 1], [0.28, 1], [0.3, 0.62],
             [0.1, 0.6]]
        ) * [width, height]  # fmt: skip
        cv2.fillPoly(shape, [np.rint(body).astype(np.int32)], 1.0)
    return picture, shape


def paste(picture: BGRImage, x: float, height: int = 240, *, is_box: bool = False) -> None:
    """Draw a person, or a box, with its middle at x; fractions of a pixel are drawn."""
    colours, shape = _figure(height // 2, is_box)
    move = np.array([[1, 0, (x - shape.shape[1]) / 2], [0, 1, 172 - shape.shape[0]]], np.float32)
    alpha = cv2.warpAffine(shape, move, (WIDTH, HEIGHT))[..., np.newaxis]
    moved = cv2.warpAffine(colours, move, (WIDTH, HEIGHT)).astype(np.float32)
    picture[:] = (picture * (1 - alpha) + moved * alpha).astype(np.uint8)


def visit(
    picture: BGRImage, second: float, *, come: float, go: float, sway: float = 0, height: int = 240
) -> None:
    """Somebody walks in from the left, stays in the middle, swaying, and walks out to the right."""
    if come <= second < come + 4:
        paste(picture, -60 + 95 * (second - come), height)
    elif come + 4 <= second < go:
        paste(picture, 320 + sway * sin(2 * pi * second / 3.7), height)
    elif go <= second < go + 5:
        paste(picture, 320 + 80 * (second - go), height)


def relight(picture: BGRImage, gain: float, where: Float32Array | None = None) -> None:
    gains = np.float32(gain) if where is None else 1 + (gain - 1) * where[..., np.newaxis]
    picture[:] = np.clip(picture * gains, 0, 255).astype(np.uint8)


@dataclass
class Outcome:
    frames: list[EventFrame]
    counts: FrameCounts

    @property
    def events(self) -> list[tuple[float, float]]:
        """Begin and end of each event in seconds."""
        spans: dict[str, list[float]] = {}
        for frame in self.frames:
            spans.setdefault(frame.event.event_id, []).append(seconds_of(frame))
        return [(times[0], times[-1]) for times in spans.values()]

    def published(self, begin: float, end: float) -> list[EventFrame]:
        return [frame for frame in self.frames if begin <= seconds_of(frame) < end]


def seconds_of(frame: EventFrame) -> float:
    return (frame.captured_at_us - START) / US_PER_SECOND


def play(
    draw: Callable[[BGRImage, float], None],
    seconds: float,
    *,
    noise: float = 2.0,
    rules: StillRules | None = None,
    settings: CameraSettings | None = None,
) -> Outcome:
    """Cut a film of the room into events; `draw` makes the picture of a second of the empty one."""
    dice = np.random.default_rng(9)
    grains = dice.normal(0, noise, (_GRAINS, HEIGHT, WIDTH, 3)).astype(np.float32)
    counts = FrameCounts()
    cutter = EventCutter("scene", settings or CameraSettings(), counts, 0, rules)
    frames: list[EventFrame] = []
    count = round(seconds * FPS)
    for number in range(count):
        picture = room().copy()
        draw(picture, number / FPS)
        noisy = np.clip(picture + grains[number % _GRAINS], 0, 255).astype(np.uint8)
        at_us = START + number * US_PER_SECOND // FPS
        frames += cutter.process(CapturedPicture(noisy, at_us, last=number == count - 1))
    assert counts.captured == len(frames) + counts.dropped.total()
    return Outcome(frames, counts)
