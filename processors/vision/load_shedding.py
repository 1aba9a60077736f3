"""Load shedding: frames of a live camera are skipped while vision is too late for them.

How late is judged by how long a frame has waited in Kafka. Its capture time is by the clock of the
camera's host: compared with this host's clock, a difference between the two would look like load.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from processors.vision.backlog import Backlog, BacklogState
from processors.vision.settings import VisionSettings
from schemas import sightline_pb2 as pb

_MAX_DOUBLINGS = 6
"""At least one frame of 64 is processed: tracks are lost anyway, but a person who stays is seen."""


@dataclass(slots=True)
class SheddingState:
    """The load shedding of one camera."""

    is_shedding: bool = False
    skipped_frames: int = 0
    """Skipped since the last frame that was processed."""
    backlog: BacklogState = field(default_factory=BacklogState)
    is_draining: bool = False
    """The last frames of a backlog come: they have waited long, and next to none wait behind."""

    @property
    def is_behind(self) -> bool:
        """True while frames may be skipped."""
        return self.is_shedding or self.backlog.is_working_off


class FrameWait(NamedTuple):
    """Measures of how late a frame was read."""

    waited_seconds: float
    """In Kafka."""
    footage_seconds: float | None = None
    """Capture time of the frames that wait behind it, where it is known."""
    now: float = 0.0
    """Seconds of a monotonic clock."""


class LoadShedding:
    """The rule: frames are skipped evenly, more of them the longer they wait, with a hysteresis.

    A backlog is worked off at its pace instead, however long its frames have waited.
    """

    def __init__(self, settings: VisionSettings) -> None:
        self._shed_above = settings.shed_above_seconds
        self._resume_below = settings.resume_below_seconds
        self._backlog = Backlog(settings.backlog_frames_per_second, self._resume_below)

    def skips(self, state: SheddingState, frame: pb.Frame, wait: FrameWait) -> bool:
        """Return True for a frame to skip; never the first or last of an event, nor of a film."""
        if not frame.live or not self._shed_above:
            return False
        was_working_off = state.backlog.is_working_off
        if self._backlog.is_working_off(state.backlog, wait.footage_seconds, wait.now):
            is_left_out = self._backlog.skips(state.backlog, frame.captured_at_us)
            return is_left_out and not frame.first_in_event and not frame.last_in_event
        if self._is_draining(state, wait, was_working_off):
            return False
        if wait.waited_seconds >= self._shed_above:
            state.is_shedding = True
        elif wait.waited_seconds <= self._resume_below:
            state.is_shedding = False
        if not state.is_shedding or frame.first_in_event or frame.last_in_event:
            return False
        state.skipped_frames += 1
        if state.skipped_frames >= self._interval(wait.waited_seconds):
            state.skipped_frames = 0
            return False
        return True

    def _is_draining(self, state: SheddingState, wait: FrameWait, was_working_off: bool) -> bool:
        state.is_draining = (
            (state.is_draining or was_working_off)
            and wait.waited_seconds > self._resume_below
            and (wait.footage_seconds or 0.0) < self._shed_above
        )
        return state.is_draining

    def _interval(self, waited_seconds: float) -> int:
        """Return n, where every n-th frame is processed: it doubles with every limit passed."""
        return 1 << min(max(int(waited_seconds / self._shed_above), 1), _MAX_DOUBLINGS)
