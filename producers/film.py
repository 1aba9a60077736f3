"""Films: decoded pictures with the film's own presentation timestamps, past damaged parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Final

import cv2

from producers.opencv_capture import open_capture, require_open
from producers.source_interface import as_image
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND

DEFAULT_FPS: Final = Fraction(10)
"""Frames per second of a folder of images, and of a film without a usable frame rate."""

_MAX_DENOMINATOR: Final = 1001
"""29.97 is 30000/1001: capture times of a long film do not drift."""

_MAX_FAILED_READS: Final = 500
"""Failed reads in a row after which a film has ended. OpenCV passes up to 64 packets in each."""

_COUNTED_SUFFIXES: Final = {".mp4", ".m4v", ".mov", ".avi"}
"""Files whose index says how many pictures there are; for other files OpenCV estimates it."""

_LONGEST_DAMAGE_SECONDS: Final = 10.0
"""A longer time without pictures is a pause of the recording."""

_MIN_CONSTANT_PICTURES: Final = 25
"""Number of pictures after which a film counts as one of constant rate."""


@dataclass(frozen=True, slots=True)
class FilmPicture:
    """A picture of a film or folder, with its time since the first picture (µs)."""

    image: BGRImage | None  # H x W x 3, BGR; None if it cannot be decoded
    offset_us: int
    due_us: int  # time since the first picture at which it is played
    broken: int = 0  # number of pictures before it that cannot be decoded


def as_fps(fps: float | None) -> Fraction:
    """Return a frame rate as a fraction; the default for one that is unknown or unusable."""
    if not fps or not 0 < fps <= 1000:
        return DEFAULT_FPS
    fraction = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
    return fraction or Fraction(fps)  # a picture every hour


class FilmTimes:
    """Times of a film's pictures (µs since the first one) from its presentation timestamps.

    They increase. Where a film has no timestamps, or they start again amid it (recordings that were
    joined), pictures follow each other at the frame rate.
    """

    def __init__(self, fps: Fraction) -> None:
        self._interval_us = US_PER_SECOND / fps
        self._shift_us: int | None = None  # added to a timestamp
        self._anchor_us, self._since_anchor = 0, 0  # the last timestamp; pictures since
        self._newest_us = 0
        self._pictures = 0
        self._is_constant = True  # all intervals were that of the frame rate

    def next(self, timestamp_ms: float) -> tuple[int, int]:
        """Return the next picture's time, and the number of pictures lost before it.

        Pictures are lost where a film of constant rate has a short gap: some demultiplexers pass
        over damaged parts without an error.
        """
        timestamp_us = round(timestamp_ms * 1000) if isfinite(timestamp_ms) else 0
        self._pictures += 1
        if self._shift_us is None:
            self._shift_us = -timestamp_us
            return 0, 0
        self._since_anchor += 1
        offset_us = following_us = self._anchor_us + round(self._since_anchor * self._interval_us)
        if timestamp_us > 0:
            offset_us = timestamp_us + self._shift_us
            if offset_us < self._newest_us - US_PER_SECOND:
                self._shift_us += following_us - offset_us
                offset_us = following_us
            self._anchor_us, self._since_anchor = offset_us, 0
        lost = self._lost_in(offset_us - self._newest_us)
        self._newest_us = max(offset_us, self._newest_us + 1)
        return self._newest_us, lost

    def _lost_in(self, gap_us: int) -> int:
        intervals = round(gap_us / self._interval_us)
        if intervals <= 1:
            self._is_constant &= gap_us <= 0 or intervals == 1  # else it is out of order
            return 0
        is_short = gap_us <= _LONGEST_DAMAGE_SECONDS * US_PER_SECOND
        if self._is_constant and is_short and self._pictures > _MIN_CONSTANT_PICTURES:
            return intervals - 1
        self._is_constant = False
        return 0


class Film:
    """A film, or any other file that FFmpeg decodes, such as a GIF."""

    start_us: int | None = None  # a file says when it was written, not when it was captured

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = self._open()
        self.fps = as_fps(self._capture.get(cv2.CAP_PROP_FPS))
        self._count = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.length_us = round(self._count * US_PER_SECOND / self.fps)  # by the file's header
        self._is_at_start = True

    def _open(self) -> cv2.VideoCapture:
        capture = open_capture(str(self._path))
        return require_open(capture, f"{self._path}: not a film that can be read")

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures from the first one on; damaged parts are passed and counted."""
        if not self._is_at_start:  # some formats cannot be rewound: the file is opened again
            self._capture.release()
            self._capture = self._open()
        self._is_at_start = False
        times = FilmTimes(self.fps)
        pictures = failed = lost = broken = offset_us = 0
        failed_in_a_row = 0
        while failed_in_a_row < _MAX_FAILED_READS:
            ok, image = self._capture.read()
            if not ok:
                failed_in_a_row += 1
                continue
            failed, failed_in_a_row = failed + failed_in_a_row, 0
            offset_us, lost_before = times.next(self._capture.get(cv2.CAP_PROP_POS_MSEC))
            lost += lost_before
            # Damage shows as failed reads, as a gap in time, or as both, not always at one place.
            new_broken = max(failed, lost) - broken
            broken += new_broken
            pictures += 1 + new_broken
            yield FilmPicture(as_image(image), offset_us, offset_us, new_broken)
        missing = self._count - pictures
        if missing > 0 and self._path.suffix.lower() in _COUNTED_SUFFIXES:  # the end is missing
            yield FilmPicture(None, offset_us + 1, offset_us, missing - 1)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()
