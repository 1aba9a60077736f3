"""What a source of pictures is."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

BGRImage = NDArray[np.uint8]
"""H x W x 3, blue green red."""


class SourceLostError(Exception):
    """The source cannot be read, or not any more; one line, without passwords."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One captured picture."""

    image: BGRImage | None  # None: it could not be decoded
    captured_at_us: int
    skipped: int = 0  # captured between the one before and this one, and overwritten
    last: bool = False  # nothing comes after it
    clock_set: bool = False  # the clock was set between the picture before and this one


class Source(Protocol):
    """Something that gives pictures."""

    is_live: bool
    """It does not wait for us: what is not taken is gone."""

    start_us: int | None
    """Capture time of a film's first picture."""

    def read(self) -> Picture | None:
        """The next picture, or None when there is none yet.

        Raises EOFError at the end, SourceLostError when the source has gone.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def as_image(image: object) -> BGRImage | None:
    """What a decoder gave as a BGR picture, or None when it gave none."""
    if not isinstance(image, np.ndarray) or not image.size or image.dtype != np.uint8:
        return None
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return image
