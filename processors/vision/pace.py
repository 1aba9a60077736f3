"""Which frames of a live camera are not looked at, because vision is too far behind."""

from dataclasses import dataclass

from processors.vision.settings import VisionSettings
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US

_MOST_DOUBLINGS = 6
"""One frame of 64 at least: tracks are lost anyway, but whoever stays is seen."""


@dataclass(slots=True)
class Pace:
    """How far behind one camera is."""

    age_seconds: float = 0.0
    """Of the frame that came last."""
    is_behind: bool = False
    passed_over: int = 0
    """Frames since the last one that was looked at."""


class KeepUp:
    """The rule: evenly, more the older frames are, and from one age down to another."""

    def __init__(self, settings: VisionSettings) -> None:
        self._behind = settings.behind_seconds
        self._caught_up = settings.caught_up_seconds

    def skips(self, pace: Pace, frame: pb.Frame, now_us: int) -> bool:
        """Whether to pass a frame over; never the first or last of an event, nor of a film."""
        if not frame.live or not self._behind:
            return False
        pace.age_seconds = (now_us - frame.captured_at_us) / US
        if pace.age_seconds >= self._behind:
            pace.is_behind = True
        elif pace.age_seconds <= self._caught_up:
            pace.is_behind = False
        if not pace.is_behind or frame.first_in_event or frame.last_in_event:
            return False
        pace.passed_over += 1
        if pace.passed_over >= self._one_in(pace.age_seconds):
            pace.passed_over = 0
            return False
        return True

    def _one_in(self, age_seconds: float) -> int:
        """Every second frame, and half as many again for each time the limit is passed."""
        return 1 << min(max(int(age_seconds / self._behind), 1), _MOST_DOUBLINGS)
