"""Policy of observations: the times to detect a track's face, and the number that settles it."""

from dataclasses import dataclass

from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings

_MIN_PAUSE_US = 80_000
_MAX_PAUSE_US = 1_000_000
_PAUSE_GROWTH = 1.6
"""Growth of the pause after an attempt without an observation: a back of a head costs little, and a
person who turns round is seen within a second."""

_MAX_TURNED = 2
"""Observations of turned faces where there is no good one: they suggest a name. They are fewer than
make a new unknown person: profiles are much alike."""

_SNAPSHOT_QUALITY_GAIN = 0.05
"""Least gain in quality over the last snapshot that is worth a new one."""


@dataclass(slots=True)
class ObservationState:
    """The observations of one track in numbers; a new epoch begins when a settled time is over."""

    epoch: int = 0
    observations: int = 0
    """Good observations in this epoch."""
    turned_observations: int = 0
    """Observations of a turned face in this epoch."""
    total_observations: int = 0
    """Observations since the track began."""
    misses: int = 0
    """Attempts in a row without an observation."""
    next_detection_us: int = 0
    settled_until_us: int | None = None
    snapshot_quality: float | None = None
    """Quality of the epoch's last snapshot."""


class ObservationPolicy:
    """The rules; time is capture time."""

    def __init__(self, settings: EvidenceSettings) -> None:
        self._settling = settings.observations
        self._interval_us = round(settings.interval_seconds * US_PER_SECOND)
        self._settled_us = round(settings.reverify_seconds * US_PER_SECOND)

    def is_settled(self, state: ObservationState, at_us: int) -> bool:
        """Return True for a settled track; begin its next epoch when the settled time is over."""
        if state.settled_until_us is None:
            return False
        if at_us < state.settled_until_us:
            return True
        state.epoch += 1
        state.observations = 0
        state.turned_observations = 0
        state.misses = 0
        state.next_detection_us = at_us
        state.settled_until_us = None
        state.snapshot_quality = None
        return False

    def is_due(self, state: ObservationState, at_us: int) -> bool:
        """Return True when an observation of an unsettled track is due."""
        return at_us >= state.next_detection_us

    def record_miss(self, state: ObservationState, at_us: int, *, refused: bool = False) -> None:
        """Note an attempt without an observation: the pause grows each time.

        After a refused face, which may be good in a moment, the pause is never longer than between
        two observations.
        """
        longest = min(_MAX_PAUSE_US, self._interval_us) if refused else _MAX_PAUSE_US
        pause = min(longest, _MIN_PAUSE_US * _PAUSE_GROWTH ** min(state.misses, 32))
        state.misses += 1
        state.next_detection_us = at_us + round(pause)

    def put_off(self, state: ObservationState, at_us: int) -> None:
        """Put off the next observation of an unsettled track to a capture time."""
        state.next_detection_us = at_us

    def is_turned_useful(self, state: ObservationState) -> bool:
        """Return True while a turned face is worth an observation: there is no better one yet."""
        return state.observations == 0 and state.turned_observations < _MAX_TURNED

    def record_observation(
        self, state: ObservationState, at_us: int, quality: float, *, turned: bool = False
    ) -> bool:
        """Note an observation; return True when its picture should be the track's snapshot.

        An observation of a turned face does not settle a track.
        """
        if turned:
            state.turned_observations += 1
        else:
            state.observations += 1
        state.total_observations += 1
        state.misses = 0
        state.next_detection_us = at_us + self._interval_us
        if state.observations >= self._settling:
            state.settled_until_us = at_us + self._settled_us
        before = state.snapshot_quality
        if before is not None and quality < before + _SNAPSHOT_QUALITY_GAIN:
            return False
        state.snapshot_quality = quality
        return True
