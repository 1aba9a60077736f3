"""ByteTrack for one camera, by capture time.

The state of the package's tracker is saved and restored through its private attributes, which it
has no other access to: its version is pinned by the lock, and a test restores a tracker after every
frame and compares to the bit.
"""

from dataclasses import dataclass

import numpy as np
import supervision as sv
from numpy.typing import NDArray
from trackers import ByteTrackTracker
from trackers.core.bytetrack.tracklet import ByteTrackTracklet

from schemas import sightline_pb2 as pb
from sightline.models.interface import Float32Array
from sightline.runtime.clock import US_PER_SECOND

_NOMINAL_RATE = 25.0
"""Frames per second of the motion model; it is given the real capture times."""

_HIGH_CONF_DET_THRESHOLD = 0.4
"""Boxes from this score are matched first, others only to tracks that have found no box."""

_TRACK_ACTIVATION_THRESHOLD = 0.5
"""Least score of the box that a track begins with."""

_MINIMUM_IOU_THRESHOLD = 0.2
"""Least overlap of a box with the predicted box of its track; with less, a cut in the film gives
one person's track to another."""

_MINIMUM_CONSECUTIVE_FRAMES = 2
"""Frames in a row with a box before a track is confirmed."""

_TRACKER_FRAMES_PER_SECOND = 30
"""Unit of `lost_track_buffer` in the tracker, whatever its `frame_rate`."""

_SPEEDS = slice(4, 8)
"""Of the four coordinates, in the state of the motion model."""

_MAX_BOXES = 200
"""Boxes of one frame, best first: bounds the cost of a detector with false alarms everywhere."""

_MAX_TRACKS = 400
"""Tracks of a camera, those seen last: bounds its state."""


@dataclass(frozen=True, slots=True)
class TrackMatch:
    """A confirmed track and its box in the present frame."""

    number: int
    """The tracker's own number: counts up from 0, unique until the tracker is thrown away."""
    detection: int
    """Index of the track's box among the boxes of the frame."""


class CameraTracker:
    """Follows the boxes of one camera; capture times have to grow."""

    def __init__(self, origin_us: int, lost_seconds: float) -> None:
        # Times count from here: a float of seconds since 1970 has no room for microseconds.
        self._origin_us = origin_us
        self._tracker = ByteTrackTracker(
            lost_track_buffer=max(1, round(lost_seconds * _TRACKER_FRAMES_PER_SECOND)),
            frame_rate=_NOMINAL_RATE,
            track_activation_threshold=_TRACK_ACTIVATION_THRESHOLD,
            high_conf_det_threshold=_HIGH_CONF_DET_THRESHOLD,
            minimum_consecutive_frames=_MINIMUM_CONSECUTIVE_FRAMES,
            minimum_iou_threshold=_MINIMUM_IOU_THRESHOLD,
        )

    def update(self, boxes: Float32Array, scores: Float32Array, at_us: int) -> list[TrackMatch]:
        """Match boxes (n, 4) with scores (n,) of a frame; return its confirmed tracks by number."""
        best = np.sort(np.argsort(-scores, kind="stable")[:_MAX_BOXES])
        detections = sv.Detections(xyxy=boxes[best], confidence=scores[best], data={"index": best})
        tracked = self._tracker.update(
            detections, timestamp=(at_us - self._origin_us) / US_PER_SECOND
        )
        self._drop_oldest_tracks()
        if tracked.tracker_id is None or not len(tracked):
            return []
        pairs = zip(tracked.tracker_id, tracked.data["index"], strict=True)
        return [
            TrackMatch(int(number), int(index)) for number, index in sorted(pairs) if number >= 0
        ]

    def come_to_rest(self) -> None:
        """Take all tracks as standing still: nothing moves in the next frame.

        Boxes jump a little between two detections of a face. Over the long time between two frames
        of a still picture, that jump as a speed would carry the predicted box away from the face.
        """
        for track in self._tracker.tracks:
            track.state_estimator.kf.state[_SPEEDS] = 0.0

    def begin_anew(self) -> None:
        """Forget all tracks after a scene cut; numbers go on."""
        self._tracker.tracks.clear()

    def alive(self) -> set[int]:
        """Return the numbers of the tracks that are seen or may be seen again."""
        return {track.tracker_id for track in self._tracker.tracks}

    def save(self, into: pb.VisionState) -> None:
        """Write the state from which `restored` makes a tracker that goes on to the bit."""
        into.origin_us = self._origin_us
        into.next_number = self._tracker._next_track_id
        if self._tracker._last_timestamp is not None:
            into.tracker_seconds = self._tracker._last_timestamp
        into.tracklets.extend(_to_message(track) for track in self._tracker.tracks)

    @classmethod
    def restored(cls, state: pb.VisionState, lost_seconds: float) -> "CameraTracker":
        """Make a tracker from its saved state.

        Raises:
            ValueError: The state is damaged.
        """
        camera = cls(state.origin_us, lost_seconds)
        tracker = camera._tracker
        tracker._next_track_id = state.next_number
        if state.HasField("tracker_seconds"):
            tracker._last_timestamp = state.tracker_seconds
        tracker.tracks = [_from_message(tracklet) for tracklet in state.tracklets]
        return camera

    def _drop_oldest_tracks(self) -> None:
        tracks = self._tracker.tracks
        if len(tracks) > _MAX_TRACKS:
            by_time = sorted(tracks, key=lambda track: track.time_since_update)
            newest = set(by_time[:_MAX_TRACKS])
            self._tracker.tracks = [track for track in tracks if track in newest]


def _to_message(track: ByteTrackTracklet) -> pb.Tracklet:
    # The other matrices of the filter are constant, or computed before they are used.
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


def _from_message(saved: pb.Tracklet) -> ByteTrackTracklet:
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
