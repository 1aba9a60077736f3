"""Drawn backgrounds: two rooms."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.demo.film import HEIGHT, WIDTH

Colour = tuple[int, int, int]  # B, G, R

_SKIRTING_Y = 400


def _walls(top: Colour, bottom: Colour, floor: Colour) -> NDArray[np.uint8]:
    fade = np.linspace(0, 1, HEIGHT)[:, None, None]
    wall = np.array(top) * (1 - fade) + np.array(bottom) * fade
    room = np.broadcast_to(wall, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    room = np.ascontiguousarray(room)
    cv2.rectangle(room, (0, _SKIRTING_Y), (WIDTH, HEIGHT), floor, -1)
    cv2.line(room, (0, _SKIRTING_Y), (WIDTH, _SKIRTING_Y), (90, 90, 90), 3)
    return room


def entrance() -> NDArray[np.uint8]:
    """Draw a bright hall with a glass door and a plant; (HEIGHT, WIDTH, 3) BGR."""
    room = _walls((205, 212, 214), (178, 188, 192), (120, 135, 145))
    cv2.rectangle(room, (330, 60), (520, _SKIRTING_Y), (150, 140, 120), -1)
    for x in (342, 430):
        cv2.rectangle(room, (x, 74), (x + 78, _SKIRTING_Y), (225, 215, 190), -1)
    cv2.line(room, (416, 240), (416, 290), (70, 70, 70), 4)
    cv2.rectangle(room, (690, 300), (760, _SKIRTING_Y), (70, 95, 140), -1)
    for angle in range(200, 341, 20):
        cv2.ellipse(room, (725, 300), (90, 16), angle, 0, 180, (70, 120, 75), -1)
    cv2.rectangle(room, (90, 110), (230, 210), (120, 105, 90), 4)
    cv2.line(room, (100, 195), (220, 130), (160, 150, 120), 6)
    return cv2.GaussianBlur(room, (0, 0), 1.2).astype(np.uint8, copy=False)


def office() -> NDArray[np.uint8]:
    """Draw a darker room with shelves and a window; (HEIGHT, WIDTH, 3) BGR."""
    room = _walls((120, 128, 112), (98, 104, 92), (62, 72, 88))
    cv2.rectangle(room, (60, 60), (300, 250), (70, 60, 50), -1)
    cv2.rectangle(room, (72, 72), (176, 238), (175, 150, 110), -1)
    cv2.rectangle(room, (186, 72), (288, 238), (180, 156, 118), -1)
    books = np.random.default_rng(7)
    for shelf in (120, 200, 280):
        cv2.rectangle(room, (520, shelf), (800, shelf + 8), (50, 62, 80), -1)
        x = 528
        while x < 780:
            width, height = int(books.integers(8, 22)), int(books.integers(38, 62))
            colour = tuple(int(value) for value in books.integers(50, 150, 3))
            cv2.rectangle(room, (x, shelf - height), (x + width, shelf), colour, -1)
            x += width + 2
    return cv2.GaussianBlur(room, (0, 0), 1.2).astype(np.uint8, copy=False)
