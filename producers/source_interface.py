"""The interface of picture sources, and the picture type."""

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np

from sightline.models.interface import BGRImage


class SourceLostError(Exception):
    """A source that cannot be read, or no longer; the message is one line without passwords."""


@dataclass(frozen=True, slots=True)
class CapturedPicture:
    """A captured picture with its capture time (µs since the epoch)."""

    image: BGRImage | None  # None if it could not be decoded
    captured_at_us: int
    skipped: int = 0  # pictures captured since the previous one and overwritten unread
    last: bool = False  # the source's last picture
    time_restarts: bool = False  # the clock was set since the previous picture, or a film has a gap
    broken: int = 0  # pictures since the previous one that could not be decoded


class Source(Protocol):
    """A source of pictures."""

    is_live: bool
    """True if unread pictures are lost: a camera, not a file."""

    start_us: int | None
    """Capture time of a film's first picture."""

    def read(self) -> CapturedPicture | None:
        """Return the next picture, or None if there is none yet.

        Raises EOFError at the end, SourceLostError when the source fails.
        """

    def close(self) -> None:
        """Release the source."""


_ROTATIONS: Final = {
    90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}  # fmt: skip


def rotated(image: BGRImage, degrees: int) -> BGRImage:
    """Return an image (H x W x 3, BGR) turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.asarray(cv2.rotate(image, _ROTATIONS[degrees]), np.uint8) if degrees else image


def as_image(image: object) -> BGRImage | None:
    """Convert a decoder's output to an H x W x 3 BGR image; None if it is no image."""
    if not isinstance(image, np.ndarray) or not image.size or image.dtype != np.uint8:
        return None
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return image
