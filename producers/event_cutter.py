"""Cut a camera's pictures, capped in rate, into the frames of motion events.

Pure: time comes with the pictures.

The last frame of an event is marked as the last when it is sent. The gate ends an event with the
picture that it processes, and a film's last picture is marked. Only when a camera is lost or the
service stops, the last frame has been sent already: its picture is then sent again, one
microsecond later, as the last one. Holding every frame back until the next one is there would
delay all frames for that rare case.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from producers.frame_accounting import FrameCounts
from producers.motion_detection import (
    DEFAULT_STILL_US,
    EventGate,
    EventPhase,
    GateRules,
    MotionDetector,
)
from producers.source_interface import CapturedPicture, rotated
from schemas import ids
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND
from sightline.storage.camera_masks import polygons_of
from sightline.storage.cameras import CameraSettings

_PRE_ROLL: Final = 5
"""Number of pictures before a motion that are published with it."""


@dataclass(frozen=True, slots=True)
class StillRules:
    """Treatment of somebody or something that came into the picture and stands still."""

    fps: float = 2.0  # published while nothing else moves
    still_us: int = DEFAULT_STILL_US  # without any change, before it is background
    max_event_us: int = 43_200 * US_PER_SECOND  # an event is split there, and nothing is held on


@dataclass(frozen=True, slots=True)
class Event:
    """A motion event up to its newest frame."""

    event_id: str
    started_at_us: int
    first_sequence: int
    last_at_us: int
    last_sequence: int
    ended: bool = False
    delivered: int = 0  # number of its frames; the last field: a spool counts it itself


@dataclass(frozen=True, slots=True)
class EventFrame:
    """A picture of an event, to be published as a frame."""

    image: BGRImage
    captured_at_us: int
    sequence: int
    event: Event
    first: bool
    last: bool
    still: bool = False  # nothing moves, and few pictures are published


@dataclass(frozen=True, slots=True)
class _Candidate:
    image: BGRImage
    captured_at_us: int
    sequence: int


class RateCap:
    """A limit of pictures per second on average, spread evenly over time."""

    def __init__(self, fps: float | None) -> None:
        self._interval_us = round(US_PER_SECOND / fps) if fps else 0
        self._due_us: int | None = None

    def allows(self, at_us: int) -> bool:
        """Return True if the picture captured at this time (µs) is within the rate."""
        if not self._interval_us:
            return True
        due = at_us if self._due_us is None else self._due_us
        # Capture times jitter: a picture that is a quarter of the interval early is on time.
        if at_us < due - self._interval_us // 4:
            return False
        self._due_us = max(due, at_us - self._interval_us) + self._interval_us
        return True


class EventCutter:
    """Cutter of one connection's pictures into events; `tally` counts the ones left out."""

    def __init__(
        self,
        camera_id: str,
        settings: CameraSettings,
        counts: FrameCounts,
        sequence: int = 0,
        rules: StillRules | None = None,
        detector: MotionDetector | None = None,
    ) -> None:
        """`detector` is that of an earlier connection: it knows the background, and who is there.

        Without one the background is learned.
        """
        self._camera_id = camera_id
        self._tally = counts
        self._sequence = sequence
        self._pending: deque[_Candidate] = deque()
        self._last: EventFrame | None = None  # of the open event
        self._fps = settings.fps
        self._rotate = settings.rotate
        self._cap = RateCap(settings.fps)
        self._rules = rules or StillRules()
        self._detector: MotionDetector | None = None
        if settings.motion:
            ignored = polygons_of(settings.masks, "motion")
            self._detector = detector or MotionDetector(self._rules.still_us, ignored)
            self._detector.restart_time()
        self._gate = self._new_gate()
        self._still_cap = RateCap(self._rules.fps)

    @property
    def sequence(self) -> int:
        """Sequence number of the newest picture."""
        return self._sequence

    @property
    def detector(self) -> MotionDetector | None:
        """The camera's background, for the next connection; None if everything is published."""
        return self._detector

    @property
    def pending_pictures(self) -> int:
        """Number of pictures that are published if a motion begins soon, else dropped."""
        return len(self._pending)

    def process(self, picture: CapturedPicture) -> list[EventFrame]:
        """Process a captured picture; return the frames to publish now."""
        self._count(picture.skipped, "overrun")
        self._count(picture.broken, "bad_image")
        self._count(1)
        if picture.image is None:
            self._tally.drop("bad_image")
            return self.finish() if picture.last else []
        closes = picture.last and self._gate.is_open
        if not closes and not self._cap.allows(picture.captured_at_us):
            self._tally.drop("rate_cap")
            return self.finish() if picture.last else []
        image = rotated(picture.image, self._rotate)
        moving = (
            1.0
            if self._detector is None
            else self._detector.moving_ratio(image, picture.captured_at_us)
        )
        has_foreground = self._detector is not None and self._detector.has_foreground
        step = self._gate.process(moving, picture.captured_at_us, has_foreground=has_foreground)
        self._pending.append(_Candidate(image, picture.captured_at_us, self._sequence))
        if step is EventPhase.IDLE:
            self._drop_pending(0 if picture.last else _PRE_ROLL)
            return []
        if step is EventPhase.STILL and not picture.last:
            if not self._still_cap.allows(picture.captured_at_us):
                self._drop_pending(_PRE_ROLL)
                return []
            self._drop_pending(1)
        if self._last is not None and (step is EventPhase.ENDED or picture.last):
            self._drop_pending(1)
        if step is EventPhase.ENDED and self._detector is not None and has_foreground:
            self._detector.release_foreground()  # the event was too long
        is_last = step is EventPhase.ENDED or picture.last
        return self._publish(last=is_last, still=step is EventPhase.STILL)

    def finish(self) -> list[EventFrame]:
        """End the open event by publishing its last picture again as the last one."""
        self._drop_pending(0)
        last_frame = self._last
        if last_frame is None:
            return []
        self._count(1)
        repeated = _Candidate(last_frame.image, last_frame.captured_at_us + 1, self._sequence)
        self._pending.append(repeated)
        return self._publish(last=True)

    def restart_time(self) -> None:
        """Reset all times: the next picture's may be earlier. Call `finish` first."""
        self._cap = RateCap(self._fps)
        self._gate = self._new_gate()
        self._still_cap = RateCap(self._rules.fps)
        if self._detector is not None:
            self._detector.restart_time()

    def _new_gate(self) -> EventGate:
        return EventGate(GateRules(max_duration_us=self._rules.max_event_us))

    def _count(self, pictures: int, reason: str | None = None) -> None:
        self._sequence += pictures
        self._tally.capture(pictures)
        if reason:
            self._tally.drop(reason, pictures)

    def _drop_pending(self, keep: int) -> None:
        reason = "no_motion" if self._last is None else "still"
        while len(self._pending) > keep:
            self._pending.popleft()
            self._tally.drop(reason)

    def _publish(self, *, last: bool, still: bool = False) -> list[EventFrame]:
        opens = self._last is None
        newest = self._pending[-1]
        event = replace(
            self._open(self._pending[0]) if self._last is None else self._last.event,
            last_at_us=newest.captured_at_us,
            last_sequence=newest.sequence,
            ended=last,
        )
        event_frames = [
            EventFrame(
                candidate.image, candidate.captured_at_us, candidate.sequence, event,
                first=opens and candidate is self._pending[0], last=last and candidate is newest,
                still=still,
            )
            for candidate in self._pending
        ]  # fmt: skip
        self._pending.clear()
        self._last = None if last else event_frames[-1]
        if last:
            self._gate.end()
        return event_frames

    def _open(self, first: _Candidate) -> Event:
        return Event(
            event_id=ids.motion_event_id(self._camera_id, first.captured_at_us),
            started_at_us=first.captured_at_us,
            first_sequence=first.sequence,
            last_at_us=first.captured_at_us,
            last_sequence=first.sequence,
        )
