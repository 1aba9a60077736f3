"""Sources that can be read again: video files and folders of images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from producers.opencv_capture import open_capture, require_open
from producers.source_interface import CapturedPicture, SourceLostError, as_image
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND, Clock, to_us
from sightline.storage.cameras import CameraSettings

_DEFAULT_FPS: Final = Fraction(10)
"""Frames per second of a folder of images, and of a film without a usable frame rate."""

_MAX_DENOMINATOR: Final = 1001
"""29.97 is 30000/1001: capture times of a long film do not drift."""

_IMAGES: Final = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"}

Wait = Callable[[float], object]
"""A pause of at most so many seconds, cut short by a stop."""

_LONGEST_WAIT_SECONDS: Final = 0.2
"""Longest pause within one read, so that the caller notices a stop in time."""


class VideoFile:
    """A video file, or any other file that FFmpeg decodes, such as a GIF."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        is_valid = 0.1 <= fps <= 1000
        self.fps = Fraction(fps).limit_denominator(_MAX_DENOMINATOR) if is_valid else _DEFAULT_FPS
        self.pictures = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._is_at_start = True

    def _open(self) -> cv2.VideoCapture:
        capture = open_capture(str(self._path))
        return require_open(capture, f"{self._path}: not a film that can be read")

    def images(self) -> Iterator[BGRImage | None]:
        """Yield the frames (H x W x 3, BGR) from the first one on."""
        if not self._is_at_start:  # some formats cannot be rewound: the file is opened again
            self._capture.release()
            self._capture = self._open()
        self._is_at_start = False
        while True:
            ok, image = self._capture.read()
            if not ok:
                return
            yield as_image(image)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


class ImageFolder:
    """The images of a folder, ordered by file name."""

    def __init__(self, folder: Path, fps: float | None) -> None:
        try:
            files = sorted(folder.iterdir())
        except OSError as error:
            raise SourceLostError(f"{folder}: {error.strerror}") from error
        self._paths = [path for path in files if path.suffix.lower() in _IMAGES]
        if not self._paths:
            raise SourceLostError(f"{folder}: no images in the folder")
        self.fps = Fraction(fps).limit_denominator(_MAX_DENOMINATOR) if fps else _DEFAULT_FPS
        self.pictures = len(self._paths)

    def images(self) -> Iterator[BGRImage | None]:
        """Yield the images (H x W x 3, BGR); None for a broken one."""
        for path in self._paths:
            try:
                data = np.frombuffer(path.read_bytes(), np.uint8)
            except OSError:
                yield None
                continue
            yield as_image(cv2.imdecode(data, cv2.IMREAD_COLOR)) if data.size else None

    def close(self) -> None:
        """Do nothing: no file is held open."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Capture time of a film's first picture (µs), and the number of pictures already read."""

    start_us: int | None = None
    pictures: int = 0


FROM_START: Final = ResumePoint()


class FileSource:
    """A film or a folder, read at its own pace or as fast as its pictures are consumed.

    A resumed film gives the same pictures with the same times again, as fast as possible up to
    the resume point: the event cutter has to see them. A film that is played in a loop continues
    at the resume point at once.

    Picture number i has the capture time start + i / fps, to the microsecond. The start is the
    camera's `start_time`, else now; a film with the pace `fast` starts so early that it ends now,
    so that no capture time lies in the future.
    """

    is_live = False

    def __init__(
        self,
        images: VideoFile | ImageFolder,
        settings: CameraSettings,
        clock: Clock,
        wait: Wait,
        resume: ResumePoint,
    ) -> None:
        self._sequence = images
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._resume_number = resume.pictures
        self._number = self._resume_number if settings.loop else 0
        self._images = self._looped() if settings.loop else images.images()
        # One picture is read ahead, so that the last one can be marked as the last.
        self._next_image = next(self._images, _END)
        self._began = 0.0
        self._start_us = self._first_capture_us(resume)
        self.start_us: int | None = self._start_us

    def _first_capture_us(self, resume: ResumePoint) -> int:
        if resume.start_us is not None:
            return resume.start_us
        if self._settings.start_time is not None:
            return to_us(self._settings.start_time)
        length = (
            self._sequence.pictures / self._sequence.fps if self._settings.pace == "fast" else 0
        )
        return self._clock.now_us() - int(length * US_PER_SECOND)

    def _offset_us(self, number: int) -> int:
        return (
            number * US_PER_SECOND * self._sequence.fps.denominator // self._sequence.fps.numerator
        )

    def _looped(self) -> Iterator[BGRImage | None]:
        length, skip = 0, self._number
        while True:
            number = 0
            for number, image in enumerate(self._sequence.images(), 1):
                if number > skip:
                    yield image
            if not number:
                return
            # The length is known after the first round: whole rounds need not be skipped again.
            length = length or number
            skip = max(0, skip - number) % length

    def read(self) -> CapturedPicture | None:
        """Return the next picture once it is due, else None. Raises EOFError after the last one."""
        if isinstance(self._next_image, _End):
            raise EOFError  # noqa: TRY004 - not about types
        offset_us = self._offset_us(self._number)
        if self._number == self._resume_number:  # the pace holds from here on
            self._began = self._clock.monotonic() - offset_us / US_PER_SECOND
        if self._settings.pace == "real" and self._number > self._resume_number:
            seconds_early = offset_us / US_PER_SECOND - (self._clock.monotonic() - self._began)
            if seconds_early > 0:
                self._wait(min(seconds_early, _LONGEST_WAIT_SECONDS))
                if seconds_early > _LONGEST_WAIT_SECONDS:
                    return None
        image, self._next_image = self._next_image, next(self._images, _END)
        self._number += 1
        return CapturedPicture(
            image, self._start_us + offset_us, last=isinstance(self._next_image, _End)
        )

    def close(self) -> None:
        """Release the file."""
        self._sequence.close()


class _End:
    """The type of the marker after the last picture."""


_END: Final = _End()
