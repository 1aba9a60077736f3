"""Pictures that wait for us: films and folders of images, the same ones every time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from producers.capture import open_capture, require_open
from producers.pictures import BGRImage, Picture, SourceLostError, as_image
from sightline.runtime.clock import US, Clock, to_us
from sightline.storage.cameras import CameraSettings

_DEFAULT_FPS: Final = Fraction(10)
"""The pace of a folder of images, and of a film that does not know its own."""

_MAX_DENOMINATOR: Final = 1001
"""29.97 is 30000/1001: times are exact, however long the film."""

_IMAGES: Final = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".tif", ".tiff"}

Wait = Callable[[float], object]
"""Pauses for so many seconds, or less when something more important comes up."""

_LONGEST_WAIT: Final = 0.2
"""Seconds that a read pauses at most before it lets the caller look around."""


class Reel(Protocol):
    """Pictures in an order."""

    fps: Fraction
    pictures: int  # about how many; 0: not known

    def images(self) -> Iterator[BGRImage | None]:
        """All of them from the first one on; None for one that cannot be decoded."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Film:
    """A video file, or anything else that FFmpeg reads from a file, such as a GIF."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        known = 0.1 <= fps <= 1000
        self.fps = Fraction(fps).limit_denominator(_MAX_DENOMINATOR) if known else _DEFAULT_FPS
        self.pictures = max(0, round(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._is_wound_back = True

    def _open(self) -> cv2.VideoCapture:
        capture = open_capture(str(self._path))
        return require_open(capture, f"{self._path}: not a film that can be read")

    def images(self) -> Iterator[BGRImage | None]:
        """The frames from the first one on, H x W x 3 BGR."""
        if not self._is_wound_back:  # by opening it again: some formats cannot be wound back
            self._capture.release()
            self._capture = self._open()
        self._is_wound_back = False
        while True:
            ok, image = self._capture.read()
            if not ok:
                return
            yield as_image(image)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class Folder:
    """The images of a folder, by name."""

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
        """The images, H x W x 3 BGR; None for one that is broken."""
        for path in self._paths:
            try:
                data = np.frombuffer(path.read_bytes(), np.uint8)
            except OSError:
                yield None
                continue
            yield as_image(cv2.imdecode(data, cv2.IMREAD_COLOR)) if data.size else None

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class ReadBefore:
    """What has been read of a film in a former life."""

    start_us: int | None = None
    pictures: int = 0


NOTHING: Final = ReadBefore()


class ReelSource:
    """A film or a folder, at its own pace or as fast as it is taken.

    One that has been read before gives the same pictures with the same times again, as fast as it
    can up to where it stood: who cuts events has to see them. One that is played over and over
    goes on there at once.

    Picture number i was captured at start + i / fps, to the microsecond. Without a given start
    that is now, or for one that is read fast, so long ago that it ends now: nothing was seen
    in the future.
    """

    is_live = False

    def __init__(
        self,
        reel: Reel,
        settings: CameraSettings,
        clock: Clock,
        wait: Wait,
        read_before: ReadBefore,
    ) -> None:
        self._reel = reel
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._known = read_before.pictures
        self._number = self._known if settings.loop else 0
        self._images = self._endless() if settings.loop else reel.images()
        # One picture is read ahead, so that the last one is known as such.
        self._ahead = next(self._images, _END)
        self._began = 0.0
        self._start_us = self._start(read_before)
        self.start_us: int | None = self._start_us

    def _start(self, read_before: ReadBefore) -> int:
        if read_before.start_us is not None:
            return read_before.start_us
        if self._settings.start_time is not None:
            return to_us(self._settings.start_time)
        length = self._reel.pictures / self._reel.fps if self._settings.pace == "fast" else 0
        return self._clock.now_us() - int(length * US)

    def _after_us(self, number: int) -> int:
        return number * US * self._reel.fps.denominator // self._reel.fps.numerator

    def _endless(self) -> Iterator[BGRImage | None]:
        length, behind = 0, self._number
        while True:
            read = 0
            for read, image in enumerate(self._reel.images(), 1):
                if read > behind:
                    yield image
            if not read:
                return
            # Its length is known now: whole rounds need not be read again.
            length = length or read
            behind = max(0, behind - read) % length

    def read(self) -> Picture | None:
        """The next picture when its time has come. Raises EOFError after the last one."""
        if isinstance(self._ahead, _End):
            raise EOFError  # noqa: TRY004 - not about types
        after_us = self._after_us(self._number)
        if self._number == self._known:  # from here on it has its pace
            self._began = self._clock.monotonic() - after_us / US
        if self._settings.pace == "real" and self._number > self._known:
            early = after_us / US - (self._clock.monotonic() - self._began)
            if early > 0:
                self._wait(min(early, _LONGEST_WAIT))
                if early > _LONGEST_WAIT:
                    return None
        image, self._ahead = self._ahead, next(self._images, _END)
        self._number += 1
        return Picture(image, self._start_us + after_us, last=isinstance(self._ahead, _End))

    def close(self) -> None:
        """Let go of it."""
        self._reel.close()


class _End:
    """After the last picture."""


_END: Final = _End()
