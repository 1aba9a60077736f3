"""The ratio of a live camera's frames that vision skips, as a metric and as log lines."""

import logging
from typing import Final

from sightline.runtime import metrics
from sightline.runtime.clock import Clock

log = logging.getLogger(__name__)

OVERLOADED_RATIO: Final = 0.1
"""The ratio of a camera's frames of the last minute that may be skipped without a warning. The
alert FramesSkipped (`deploy/prometheus/rules`) has the same limit."""

_INTERVAL_SECONDS: Final = 5.0
_INTERVALS: Final = 12
"""The ratio is measured over them: a minute."""

_LASTING_INTERVALS: Final = 3
"""Intervals with skipped frames before a warning: a worker that has just started skips the frames
that have waited for it."""


def percent(ratio: float) -> str:
    """Write a ratio for people."""
    return f"{100 * ratio:.0f}%"


class ShedRatio:
    """The processed and skipped frames of one camera within the last minute.

    Frames are counted by one thread; any other may ask for the ratio.
    """

    def __init__(self, camera_id: str, clock: Clock) -> None:
        """Show the ratio as a metric until `close`."""
        self._camera_id = camera_id
        self._clock = clock
        self._counts = [(-_INTERVALS, 0, 0)] * _INTERVALS
        """Number of an interval, its frames, and its skipped frames."""
        self._is_warned = False
        metrics.VISION_SKIPPED_RATIO.labels(camera_id).set_function(self.ratio)

    def close(self) -> None:
        """Drop the metric."""
        metrics.VISION_SKIPPED_RATIO.remove(self._camera_id)

    def ratio(self) -> float:
        """Return the skipped part of the frames, 0 to 1; 0 where no frame came."""
        recent = self._recent()
        frames = sum(frames for _, frames, _ in recent)
        return sum(skipped for *_, skipped in recent) / frames if frames else 0.0

    def count(self, *, skipped: bool) -> None:
        """Count a frame; log when too many are skipped, and when none is any more.

        Between the end of one overload and the line of the next lies a minute at least.
        """
        current = self._interval()
        number, frames, before = self._counts[current % _INTERVALS]
        if number != current:
            frames = before = 0
        self._counts[current % _INTERVALS] = (current, frames + 1, before + skipped)
        if skipped != self._is_warned:  # no other frame can change what is logged
            self._log()

    def _log(self) -> None:
        ratio, fields = self.ratio(), {"camera": self._camera_id}
        if self._is_warned and not ratio:
            self._is_warned = False
            log.info(
                "vision: camera %s: no frame was skipped within the last minute: vision keeps up"
                " again",
                self._camera_id, extra=fields,
            )  # fmt: skip
        elif not self._is_warned and ratio > OVERLOADED_RATIO and self._lasts():
            self._is_warned = True
            log.warning(
                "vision: camera %s: %s of the frames of the last minute were skipped: vision is"
                " too slow for them. Fewer frames (camera add --fps), smaller pictures (--width)"
                " or more vision workers help: docs/runbook/frames-skipped.md",
                self._camera_id, percent(ratio), extra=fields,
            )  # fmt: skip

    def _lasts(self) -> bool:
        return sum(skipped > 0 for *_, skipped in self._recent()) >= _LASTING_INTERVALS

    def _recent(self) -> list[tuple[int, int, int]]:
        oldest = self._interval() - _INTERVALS
        return [counts for counts in self._counts if counts[0] > oldest]

    def _interval(self) -> int:
        return int(self._clock.monotonic() // _INTERVAL_SECONDS)
