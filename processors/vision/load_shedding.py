"""Load shedding: frames of a live camera are skipped while vision is too late for them.

How late is judged by how long a frame has waited in Kafka. Its capture time is by the clock of the
camera's host: compared with this host's clock, a difference between the two would look like load.
"""

from dataclasses import dataclass

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


class LoadShedding:
    """The rule: frames are skipped evenly, more of them the longer they wait, with a hysteresis."""

    def __init__(self, settings: VisionSettings) -> None:
        self._shed_above = settings.shed_above_seconds
        self._resume_below = settings.resume_below_seconds

    def skips(self, state: SheddingState, frame: pb.Frame, waited_seconds: float) -> bool:
        """Return True for a frame to skip; never the first or last of an event, nor of a film."""
        if not frame.live or not self._shed_above:
            return False
        if waited_seconds >= self._shed_above:
            state.is_shedding = True
        elif waited_seconds <= self._resume_below:
            state.is_shedding = False
        if not state.is_shedding or frame.first_in_event or frame.last_in_event:
            return False
        state.skipped_frames += 1
        if state.skipped_frames >= self._interval(waited_seconds):
            state.skipped_frames = 0
            return False
        return True

    def _interval(self, waited_seconds: float) -> int:
        """Return n, where every n-th frame is processed: it doubles with every limit passed."""
        return 1 << min(max(int(waited_seconds / self._shed_above), 1), _MAX_DOUBLINGS)
