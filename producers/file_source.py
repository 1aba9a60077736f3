"""Sources that can be read again: films and folders of images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from producers.film import Film, FilmPicture
from producers.image_folder import ImageFolder
from producers.source_interface import CapturedPicture
from sightline.runtime.clock import US_PER_SECOND, Clock, to_us
from sightline.storage.cameras import CameraSettings

Wait = Callable[[float], object]
"""A pause of at most so many seconds, cut short by a stop."""

_LONGEST_WAIT_SECONDS: Final = 0.2
"""Longest pause within one read, so that the caller notices a stop in time."""

_GAP_SECONDS: Final = 10.0
_GAP_PICTURES: Final = 10
"""A longer time between two pictures, in seconds and in usual intervals, is a gap."""


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

    A picture's capture time is the start plus its time within the film. The start is the camera's
    `start_time`, else when a folder's first photo was taken, else now; a film with the pace `fast`
    starts so early that it ends now. If the film is longer than its header says, its end is not
    read before it is due, so that no capture time lies in the future.
    """

    is_live = False

    def __init__(
        self,
        film: Film | ImageFolder,
        settings: CameraSettings,
        clock: Clock,
        wait: Wait,
        resume: ResumePoint,
    ) -> None:
        self._film = film
        self._settings = settings
        self._clock = clock
        self._wait = wait
        self._resume_number = resume.pictures
        self._number = self._resume_number if settings.loop else 0
        self._pictures = self._looped() if settings.loop else film.pictures()
        # One picture is read ahead, so that the last one can be marked as the last.
        self._next_picture = next(self._pictures, None)
        self._began = 0.0
        self._previous_us: int | None = None  # offset of the previous picture
        self._start_us = self._first_capture_us(resume)
        self.start_us: int | None = self._start_us

    def _first_capture_us(self, resume: ResumePoint) -> int:
        if resume.start_us is not None:
            return resume.start_us
        if self._settings.start_time is not None:
            return to_us(self._settings.start_time)
        if self._film.start_us is not None:
            return self._film.start_us
        return self._clock.now_us() - (self._film.length_us if self._is_fast else 0)

    @property
    def _is_fast(self) -> bool:
        return self._settings.pace == "fast"

    @property
    def _interval_us(self) -> int:
        return round(US_PER_SECOND / self._film.fps)

    def _looped(self) -> Iterator[FilmPicture]:
        skip, round_start_us, round_due_us = self._number, 0, 0
        while True:
            number = 0
            offset_us = due_us = 0
            for number, picture in enumerate(self._film.pictures(), 1):
                offset_us, due_us = picture.offset_us, picture.due_us
                if number > skip:
                    yield replace(
                        picture, offset_us=round_start_us + offset_us, due_us=round_due_us + due_us
                    )
            if not number:
                return
            # The length is known after the first round: whole rounds need not be skipped again.
            rounds = max(1, skip // number)
            round_start_us += rounds * (offset_us + self._interval_us)
            round_due_us += rounds * (due_us + self._interval_us)
            skip = max(0, skip - rounds * number)

    def read(self) -> CapturedPicture | None:
        """Return the next picture once it is due, else None. Raises EOFError after the last one."""
        picture = self._next_picture
        if picture is None:
            raise EOFError
        if self._number == self._resume_number:  # the pace holds from here on
            self._began = self._clock.monotonic() - picture.due_us / US_PER_SECOND
        seconds_early = self._seconds_early(picture)
        if seconds_early > 0:
            self._wait(min(seconds_early, _LONGEST_WAIT_SECONDS))
            if seconds_early > _LONGEST_WAIT_SECONDS:
                return None
        self._next_picture = next(self._pictures, None)
        self._number += 1
        return CapturedPicture(
            picture.image,
            self._start_us + picture.offset_us,
            broken=picture.broken,
            last=self._next_picture is None,
            time_restarts=self._follows_gap(picture.offset_us),
        )

    def _seconds_early(self, picture: FilmPicture) -> float:
        if self._number <= self._resume_number:
            return 0.0
        if not self._is_fast:
            return picture.due_us / US_PER_SECOND - (self._clock.monotonic() - self._began)
        if self._settings.start_time is not None:
            return 0.0
        return (self._start_us + picture.offset_us - self._clock.now_us()) / US_PER_SECOND

    def _follows_gap(self, offset_us: int) -> bool:
        previous_us, self._previous_us = self._previous_us, offset_us
        longest_us = max(_GAP_SECONDS * US_PER_SECOND, _GAP_PICTURES * self._interval_us)
        return previous_us is not None and offset_us - previous_us > longest_us

    def close(self) -> None:
        """Release the file."""
        self._film.close()
