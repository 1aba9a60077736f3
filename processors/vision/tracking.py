"""ByteTrack for one camera, by capture time."""

from dataclasses import dataclass

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker

from sightline.clock import US
from sightline.vision.interface import Floats

_NOMINAL_RATE = 25.0
"""Frames per second that the motion model thinks in; the real times are given to it."""

_STRONG = 0.4
"""Boxes from this score are matched first, weaker ones only to a track that has no other."""

_BEGIN = 0.5
"""A track begins with a box of at least this score."""

_SAME_PLACE = 0.2
"""A box overlaps with where its track should be by this much; with less, a cut in the film gives
one person's track to another."""

_CONSECUTIVE = 2
"""Frames in a row until a track counts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A confirmed track in the present frame."""

    number: int
    """The tracker's own number: counts up from 0, unique until the tracker is thrown away."""
    detection: int
    """Index of its box among those given."""


class CameraTracker:
    """Follows the boxes of one camera. Times have to grow."""

    def __init__(self, origin_us: int, lost_seconds: float) -> None:
        # Seconds from here: a float of seconds since 1970 has no room for microseconds.
        self._origin_us = origin_us
        self._tracker = ByteTrackTracker(
            lost_track_buffer=max(
                1, round(lost_seconds * 30)
            ),  # it counts in frames of 30 a second
            frame_rate=_NOMINAL_RATE,
            track_activation_threshold=_BEGIN,
            high_conf_det_threshold=_STRONG,
            minimum_consecutive_frames=_CONSECUTIVE,
            minimum_iou_threshold=_SAME_PLACE,
        )

    def update(self, boxes: Floats, scores: Floats, at_us: int) -> list[Seen]:
        """Match boxes (n, 4) with scores (n,) of a frame; its confirmed tracks by number."""
        detections = sv.Detections(
            xyxy=boxes, confidence=scores, data={"index": np.arange(len(boxes))}
        )
        tracked = self._tracker.update(detections, timestamp=(at_us - self._origin_us) / US)
        if tracked.tracker_id is None or not len(tracked):
            return []
        pairs = zip(tracked.tracker_id, tracked.data["index"], strict=True)
        return [Seen(int(number), int(at)) for number, at in sorted(pairs) if number >= 0]

    def begin_anew(self) -> None:
        """Forget all tracks: the camera shows another place. Numbers go on."""
        self._tracker.tracks.clear()

    def alive(self) -> set[int]:
        """Numbers of the tracks that are seen or may come back."""
        return {track.tracker_id for track in self._tracker.tracks}
