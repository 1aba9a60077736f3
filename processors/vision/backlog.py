"""Footage that waits in a partition of frames, and its working off at a set pace after an outage.

A worker that is too slow sheds frames before many wait. Where much footage waits at once, Kafka or
vision was away: the people in it get their rows, so its frames are processed at a pace that follows
people, instead of one in 64.
"""

from dataclasses import dataclass

from sightline.runtime.clock import US_PER_SECOND
from sightline.streaming.records import Record

_BACKLOG_SECONDS = 10.0
"""Footage from which on an outage is behind it: a worker that is too slow sheds frames before."""

_CHECK_SECONDS = 30.0
"""Time within which the backlog has to become less, or vision is too slow for its pace as well."""

_LONGEST_STEP_MS = 2000
"""Longest time between two records of one event; a longer one lies between two events."""

_FEWEST_STEPS = 5
_WEIGHT = 0.05
"""Of a step in the moving mean of steps."""


class Footage:
    """Footage that waits in one partition, in seconds of capture time."""

    def __init__(self) -> None:
        self._last_ms: int | None = None
        self._mean_ms = 0.0
        self._steps = 0

    def seconds(self, record: Record) -> float | None:
        """Return the footage behind a record that was just read; None before its rate is known."""
        last_ms, self._last_ms = self._last_ms, record.timestamp_ms
        if last_ms is not None and 0 <= record.timestamp_ms - last_ms <= _LONGEST_STEP_MS:
            self._steps += 1
            weight = max(_WEIGHT, 1 / self._steps)
            self._mean_ms += weight * (record.timestamp_ms - last_ms - self._mean_ms)
        if self._steps < _FEWEST_STEPS or not self._mean_ms:
            return None
        return record.records_behind * self._mean_ms / 1000


@dataclass(slots=True)
class BacklogState:
    """The working off of one camera's backlog."""

    is_working_off: bool = False
    is_too_slow: bool = False
    """The backlog has grown meanwhile: frames are shed until there is none."""
    checked_at: float = 0.0
    checked_seconds: float = 0.0
    processed_us: int = 0
    """Capture time of the last frame that was processed."""


class Backlog:
    """The rule: when a backlog is worked off, and at which pace."""

    def __init__(self, frames_per_second: float, resume_below_seconds: float) -> None:
        """Make the rule; 0 frames per second is never."""
        self._step_us = round(0.9 * US_PER_SECOND / frames_per_second) if frames_per_second else 0
        self._resume_below = resume_below_seconds

    def is_working_off(
        self, state: BacklogState, footage_seconds: float | None, now: float
    ) -> bool:
        """Return whether a backlog is worked off, with so much footage waiting at a time."""
        if not self._step_us or footage_seconds is None:
            return state.is_working_off
        if footage_seconds <= self._resume_below:
            state.is_working_off = state.is_too_slow = False
        elif not state.is_working_off:
            if footage_seconds >= _BACKLOG_SECONDS and not state.is_too_slow:
                state.is_working_off = True
                state.checked_at, state.checked_seconds = now, footage_seconds
        elif now - state.checked_at >= _CHECK_SECONDS:
            state.is_too_slow = footage_seconds >= state.checked_seconds
            state.is_working_off = not state.is_too_slow
            state.checked_at, state.checked_seconds = now, footage_seconds
        return state.is_working_off

    def skips(self, state: BacklogState, captured_at_us: int) -> bool:
        """Return whether a frame of a backlog is left out at its pace."""
        if 0 <= captured_at_us - state.processed_us < self._step_us:
            return True
        state.processed_us = captured_at_us
        return False
