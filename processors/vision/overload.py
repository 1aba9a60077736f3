"""The share of a live camera's frames that vision skips, and the log lines about it."""

import logging
from typing import Final

from sightline.runtime import metrics
from sightline.runtime.clock import Clock

log = logging.getLogger(__name__)

OVERLOADED_SHARE: Final = 0.1
"""The share of a camera's frames of the last minute that may be skipped without a warning. The
alert FramesSkipped (`deploy/prometheus/rules`) has the same limit."""

_INTERVAL_SECONDS: Final = 5.0
_INTERVALS: Final = 12

WINDOW_SECONDS: Final = _INTERVAL_SECONDS * _INTERVALS
"""The time that the share is of."""

_LASTING: Final = 3
"""Intervals with skipped frames: a worker that has just started skips what has waited for it."""


def percent(share: float) -> str:
    """Write a share of 1 for people."""
    return f"{100 * share:.0f}%"


class Overload:
    """The frames of one camera within the last minute.

    Counted by one thread; any other may ask for the share.
    """

    def __init__(self, camera_id: str, clock: Clock) -> None:
        """Show the share as a metric until `close`."""
        self._camera_id = camera_id
        self._clock = clock
        self._counts = [(-_INTERVALS, 0, 0)] * _INTERVALS
        """Number of the interval, its frames, and those of them that were skipped."""
        self._is_told = False
        metrics.VISION_SKIPPED_SHARE.labels(camera_id).set_function(self.share)

    def close(self) -> None:
        """Drop the metric."""
        metrics.VISION_SKIPPED_SHARE.remove(self._camera_id)

    def share(self) -> float:
        """Return the share of 1 that was skipped; 0 where no frame came."""
        recent = self._recent()
        frames = sum(frames for _, frames, _ in recent)
        return sum(skipped for *_, skipped in recent) / frames if frames else 0.0

    def count(self, *, skipped: bool) -> None:
        """Count a frame; log when too many are skipped, and when none is any more.

        Between the end of one overload and the line of the next lies a minute at least.
        """
        now = self._now()
        number, frames, before = self._counts[now % _INTERVALS]
        if number != now:
            frames = before = 0
        self._counts[now % _INTERVALS] = (now, frames + 1, before + skipped)
        if skipped != self._is_told:  # nothing else changes what is to be told
            self._tell()

    def _tell(self) -> None:
        share, about = self.share(), {"camera": self._camera_id}
        if self._is_told and not share:
            self._is_told = False
            log.info(
                "vision: camera %s: no frame was skipped within the last minute: vision keeps up"
                " again",
                self._camera_id,
                extra=about,
            )
        elif not self._is_told and share > OVERLOADED_SHARE and self._lasts():
            self._is_told = True
            log.warning(
                "vision: camera %s: %s of the frames of the last minute were skipped: vision is"
                " too slow for them. Fewer frames (camera add --fps), smaller pictures (--width)"
                " or more vision workers help: docs/runbook/frames-skipped.md",
                self._camera_id,
                percent(share),
                extra=about,
            )

    def _lasts(self) -> bool:
        return sum(skipped > 0 for *_, skipped in self._recent()) >= _LASTING

    def _recent(self) -> list[tuple[int, int, int]]:
        oldest = self._now() - _INTERVALS
        return [one for one in self._counts if one[0] > oldest]

    def _now(self) -> int:
        return int(self._clock.monotonic() // _INTERVAL_SECONDS)
