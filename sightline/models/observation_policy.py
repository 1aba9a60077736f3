"""When a track's face is looked for, which shots are kept, and when that is enough."""

from dataclasses import dataclass

from sightline.runtime.clock import US
from sightline.runtime.settings import EvidenceSettings

_FIRST_PAUSE_US = 80_000
_LONGEST_PAUSE_US = 1_000_000
_GROWTH = 1.6
"""After a look without a shot the next waits longer: a back of a head costs little, and somebody
who turns round is seen within a second."""

_TURNED = 2
"""Faces that are turned away are embedded so often where there is no good shot: they show who
somebody may be. They are fewer than make a new person known: profiles are much alike."""

_CLEARLY_BETTER = 0.05
"""A new snapshot is worth a record when its quality grew by this."""


@dataclass(slots=True)
class ShotState:
    """What is known of the shots of one track; small, and plain numbers only."""

    epoch: int = 0
    shots: int = 0
    """Good shots in this epoch."""
    turned: int = 0
    """Shots in this epoch of a face that is turned away."""
    total: int = 0
    """Shots since the track began."""
    misses: int = 0
    """Looks in a row that gave no shot."""
    next_look_us: int = 0
    settled_until_us: int | None = None
    snapshot_quality: float | None = None
    """Of the epoch's last snapshot."""


class ShotPolicy:
    """The rules, by capture time alone."""

    def __init__(self, settings: EvidenceSettings) -> None:
        self._wanted = settings.observations
        self._interval_us = round(settings.interval_seconds * US)
        self._settled_us = round(settings.reverify_seconds * US)

    def settled(self, state: ShotState, at_us: int) -> bool:
        """Whether the track is left alone; when that has run out, its next epoch begins."""
        if state.settled_until_us is None:
            return False
        if at_us < state.settled_until_us:
            return True
        state.epoch += 1
        state.shots = 0
        state.turned = 0
        state.misses = 0
        state.next_look_us = at_us
        state.settled_until_us = None
        state.snapshot_quality = None
        return False

    def due(self, state: ShotState, at_us: int) -> bool:
        """Whether to look at an unsettled track's face now."""
        return at_us >= state.next_look_us

    def missed(self, state: ShotState, at_us: int, *, refused: bool = False) -> None:
        """There was no face, or one not worth a shot: wait, longer each time.

        A face that was refused may be good in a moment: the wait is never longer than between
        two shots.
        """
        longest = min(_LONGEST_PAUSE_US, self._interval_us) if refused else _LONGEST_PAUSE_US
        pause = min(longest, _FIRST_PAUSE_US * _GROWTH ** min(state.misses, 32))
        state.misses += 1
        state.next_look_us = at_us + round(pause)

    def turned_wanted(self, state: ShotState) -> bool:
        """Whether a face that is turned away is worth a shot: there is no better yet."""
        return state.shots == 0 and state.turned < _TURNED

    def taken(self, state: ShotState, at_us: int, quality: float, *, turned: bool = False) -> bool:
        """A shot was taken; True when its picture should be the track's snapshot.

        One of a turned face does not settle a track.
        """
        if turned:
            state.turned += 1
        else:
            state.shots += 1
        state.total += 1
        state.misses = 0
        state.next_look_us = at_us + self._interval_us
        if state.shots >= self._wanted:
            state.settled_until_us = at_us + self._settled_us
        before = state.snapshot_quality
        if before is not None and quality < before + _CLEARLY_BETTER:
            return False
        state.snapshot_quality = quality
        return True
