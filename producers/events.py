"""Pictures to what is published of them: capped in rate, cut into motion events.

Pure: time comes with the pictures.

The last frame of an event must say so when it is sent. The gate ends an event with the frame
that it is looking at, and a film knows its last picture. Only when a camera is lost or the
service stops, the last frame has gone out already: then its picture is sent once more, one
microsecond later, as the last one. Holding every frame back until the next one is known would
delay all of them for that rare case.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from producers.ledger import Tally
from producers.motion import EventGate, MotionDetector, Step
from producers.pictures import BGRImage, Picture
from schemas import ids
from sightline.runtime.clock import US
from sightline.storage.cameras import CameraSettings

_PRE_ROLL: Final = 5
"""Pictures before a motion that are published with it."""


@dataclass(frozen=True, slots=True)
class Event:
    """A motion event, as far as it has come."""

    event_id: str
    started_at_us: int
    first_sequence: int
    last_at_us: int
    last_sequence: int
    ended: bool = False
    delivered: int = 0  # of its frames


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that is to be published."""

    image: BGRImage
    captured_at_us: int
    sequence: int
    event: Event
    first: bool
    last: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    image: BGRImage
    captured_at_us: int
    sequence: int


class RateCap:
    """Lets through so many pictures a second on average, as evenly as they come."""

    def __init__(self, fps: float | None) -> None:
        self._interval_us = round(US / fps) if fps else 0
        self._due_us: int | None = None

    def lets_through(self, at_us: int) -> bool:
        """Whether the picture captured at this time is to be taken."""
        if not self._interval_us:
            return True
        due = at_us if self._due_us is None else self._due_us
        # A camera's own beat trembles: a picture that is a little early is on time.
        if at_us < due - self._interval_us // 4:
            return False
        self._due_us = max(due, at_us - self._interval_us) + self._interval_us
        return True


class EventCutter:
    """One connection's pictures, cut into events. `tally` hears of each one that is left out."""

    def __init__(
        self, camera_id: str, settings: CameraSettings, tally: Tally, sequence: int = 0
    ) -> None:
        self._camera_id = camera_id
        self._tally = tally
        self._sequence = sequence
        self._before: deque[_Waiting] = deque()
        self._last: Shot | None = None  # of the open event
        self._fps = settings.fps
        self._cap = RateCap(settings.fps)
        self._detector = MotionDetector() if settings.motion else None
        self._gate = EventGate()

    @property
    def sequence(self) -> int:
        """Of the newest picture."""
        return self._sequence

    @property
    def held(self) -> int:
        """Pictures that are published if a motion begins soon, and dropped if not."""
        return len(self._before)

    def take(self, picture: Picture) -> list[Shot]:
        """What is to be published now that this picture has been captured."""
        self._count(picture.skipped, "overrun")
        self._count(1)
        if picture.image is None:
            self._tally.drop("bad_image")
            return self.finish() if picture.last else []
        closes = picture.last and self._gate.is_open
        if not closes and not self._cap.lets_through(picture.captured_at_us):
            self._tally.drop("rate_cap")
            return self.finish() if picture.last else []
        moving = (
            1.0
            if self._detector is None
            else self._detector.moving(picture.image, picture.captured_at_us)
        )
        step = self._gate.feed(moving, picture.captured_at_us)
        self._before.append(_Waiting(picture.image, picture.captured_at_us, self._sequence))
        if step is Step.IDLE:
            self._forget(0 if picture.last else _PRE_ROLL)
            return []
        return self._publish(last=step is Step.ENDED or picture.last)

    def finish(self) -> list[Shot]:
        """Nothing comes any more: end the open event by its last picture, said once more."""
        self._forget(0)
        shown = self._last
        if shown is None:
            return []
        self._count(1)
        again = _Waiting(shown.image, shown.captured_at_us + 1, self._sequence)
        self._before.append(again)
        return self._publish(last=True)

    def restart_time(self) -> None:
        """Forget all times: the next picture's may be before them. Call `finish` first."""
        self._cap = RateCap(self._fps)
        self._gate = EventGate()
        if self._detector is not None:
            self._detector.restart_time()

    def _count(self, pictures: int, reason: str | None = None) -> None:
        self._sequence += pictures
        self._tally.capture(pictures)
        if reason:
            self._tally.drop(reason, pictures)

    def _forget(self, keep: int) -> None:
        while len(self._before) > keep:
            self._before.popleft()
            self._tally.drop("no_motion")

    def _publish(self, *, last: bool) -> list[Shot]:
        opens = self._last is None
        newest = self._before[-1]
        event = replace(
            self._open(self._before[0]) if self._last is None else self._last.event,
            last_at_us=newest.captured_at_us,
            last_sequence=newest.sequence,
            ended=last,
        )
        shots = [
            Shot(
                image=one.image,
                captured_at_us=one.captured_at_us,
                sequence=one.sequence,
                event=event,
                first=opens and one is self._before[0],
                last=last and one is newest,
            )
            for one in self._before
        ]
        self._before.clear()
        self._last = None if last else shots[-1]
        if last:
            self._gate.end()
        return shots

    def _open(self, first: _Waiting) -> Event:
        return Event(
            event_id=ids.motion_event_id(self._camera_id, first.captured_at_us),
            started_at_us=first.captured_at_us,
            first_sequence=first.sequence,
            last_at_us=first.captured_at_us,
            last_sequence=first.sequence,
        )
