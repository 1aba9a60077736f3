"""ByteTrack for one camera, by capture time."""

from dataclasses import dataclass

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from trackers import ByteTrackTracker
from trackers.core.bytetrack.tracklet import ByteTrackTracklet

from schemas import sightline_pb2 as pb
from sightline.models.interface import Floats
from sightline.runtime.clock import US

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

_MOST_BOXES = 200
"""Of one frame, the best; a detector that sees ghosts everywhere costs only so much."""

_MOST_TRACKS = 400
"""Those seen last: what a camera's state can grow to."""


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
        best = np.sort(np.argsort(-scores, kind="stable")[:_MOST_BOXES])
        detections = sv.Detections(xyxy=boxes[best], confidence=scores[best], data={"index": best})
        tracked = self._tracker.update(detections, timestamp=(at_us - self._origin_us) / US)
        self._keep_the_latest()
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

    def save(self, into: pb.VisionState) -> None:
        """Write what `restored` needs: it then goes on to the bit as this one would."""
        into.origin_us = self._origin_us
        into.next_number = self._tracker._next_track_id
        if self._tracker._last_timestamp is not None:
            into.tracker_seconds = self._tracker._last_timestamp
        into.tracklets.extend(_saved(track) for track in self._tracker.tracks)

    @classmethod
    def restored(cls, state: pb.VisionState, lost_seconds: float) -> "CameraTracker":
        """A tracker as it was saved. Raises ValueError for what is none."""
        camera = cls(state.origin_us, lost_seconds)
        tracker = camera._tracker
        tracker._next_track_id = state.next_number
        if state.HasField("tracker_seconds"):
            tracker._last_timestamp = state.tracker_seconds
        tracker.tracks = [_restored(tracklet) for tracklet in state.tracklets]
        return camera

    def _keep_the_latest(self) -> None:
        tracks = self._tracker.tracks
        if len(tracks) > _MOST_TRACKS:
            by_time = sorted(tracks, key=lambda track: track.time_since_update)
            latest = set(by_time[:_MOST_TRACKS])
            self._tracker.tracks = [track for track in tracks if track in latest]


def _saved(track: ByteTrackTracklet) -> pb.Tracklet:
    # The other matrices of the filter are constant, or made anew before they are used.
    kalman = track.state_estimator.kf
    return pb.Tracklet(
        number=track.tracker_id,
        age=track.age,
        unseen=track.time_since_update,
        unseen_seconds=track.time_since_update_seconds,
        seen_in_a_row=track.number_of_successful_consecutive_updates,
        state=np.asarray(kalman.state, "<f8").tobytes(),
        covariance=np.asarray(kalman.state_covariance, "<f8").tobytes(),
    )


def _restored(saved: pb.Tracklet) -> ByteTrackTracklet:
    track = ByteTrackTracklet(np.zeros(4))
    track.tracker_id = saved.number
    track.age = saved.age
    track.time_since_update = saved.unseen
    track.time_since_update_seconds = saved.unseen_seconds
    track.number_of_successful_consecutive_updates = saved.seen_in_a_row
    kalman = track.state_estimator.kf
    kalman.state = _matrix(saved.state, kalman.state)
    kalman.state_covariance = _matrix(saved.covariance, kalman.state_covariance)
    return track


def _matrix(data: bytes, like: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.frombuffer(data, "<f8").reshape(like.shape).astype(np.float64)
