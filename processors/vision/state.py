"""A camera's state as a record of `vision-state`, and back: to the bit.

Whoever takes a camera over in the middle of a motion event goes on as the worker before would
have.
"""

import numpy as np
from google.protobuf.message import DecodeError

from processors.vision.cuts import OUTLINE_SHAPE
from processors.vision.pipeline import CameraState, Visible
from processors.vision.tracking import CameraTracker
from schemas import sightline_pb2 as pb
from sightline.models.interface import Floats
from sightline.models.observation_policy import ShotState
from sightline.models.outputs import Track, TrackName

_VERSION = 1
"""Grows with every change of what the fields mean: another version's state is not read."""


class UnusableStateError(ValueError):
    """No state, another version's, or of another moment."""


def save_state(camera_id: str, next_offset: int, state: CameraState) -> bytes:
    """The value of a state's record; `next_offset` is behind the last frame that is in it."""
    message = pb.VisionState(
        version=_VERSION,
        camera_id=camera_id,
        site_id=state.site_id,
        next_offset=next_offset,
        event_id=state.event_id,
        last_us=state.last_us,
        detected_us=state.detected_us,
        outline=b"" if state.outline is None else state.outline.astype(np.uint8).tobytes(),
        tracks=[_saved(number, track) for number, track in state.tracks.items()],
        visible=[_shown(seen) for seen in state.visible],
    )
    state.tracker.save(message)
    return message.SerializeToString()


def read_state(value: bytes, next_offset: int) -> pb.VisionState:
    """The message in a state's record, for frames that go on at an offset.

    Raises UnusableStateError. State of an earlier offset is right: since then its partition has
    had frames of other cameras only.
    """
    try:
        message = pb.VisionState.FromString(value)
    except DecodeError as error:
        raise UnusableStateError(f"no state: {error}") from error
    if message.version != _VERSION:
        raise UnusableStateError(f"state of version {message.version}")
    if message.next_offset > next_offset:
        # Somebody has moved the group back, or Kafka has forgotten it: these frames come again.
        raise UnusableStateError(
            f"its state is of offset {message.next_offset}, its frames go on at {next_offset}"
        )
    return message


def restore_state(message: pb.VisionState, lost_seconds: float) -> CameraState:
    """The state that was saved. Raises UnusableStateError."""
    try:
        tracks = {one.number: _restored(message, one) for one in message.tracks}
        return CameraState(
            site_id=message.site_id,
            event_id=message.event_id,
            last_us=message.last_us,
            tracker=CameraTracker.restored(message, lost_seconds),
            tracks=tracks,
            detected_us=message.detected_us if message.HasField("detected_us") else None,
            visible=[_seen(tracks, one) for one in message.visible],
            outline=_outline(message.outline),
        )
    except (KeyError, ValueError) as error:
        raise UnusableStateError(f"damaged state: {error}") from error


def _saved(number: int, track: Track) -> pb.FollowedTrack:
    shots = track.shots
    return pb.FollowedTrack(
        number=number,
        track_id=track.name.track_id,
        started_us=track.name.started_us,
        seen_us=track.seen_us,
        frames=track.frames,
        epoch=shots.epoch,
        shots=shots.shots,
        turned=shots.turned,
        total=shots.total,
        misses=shots.misses,
        next_look_us=shots.next_look_us,
        settled_until_us=shots.settled_until_us,
        snapshot_quality=shots.snapshot_quality,
    )


def _restored(state: pb.VisionState, saved: pb.FollowedTrack) -> Track:
    name = TrackName(
        track_id=saved.track_id,
        number=saved.number + 1,
        camera_id=state.camera_id,
        site_id=state.site_id,
        motion_event_id=state.event_id,
        started_us=saved.started_us,
    )
    shots = ShotState(
        epoch=saved.epoch,
        shots=saved.shots,
        turned=saved.turned,
        total=saved.total,
        misses=saved.misses,
        next_look_us=saved.next_look_us,
        settled_until_us=saved.settled_until_us if saved.HasField("settled_until_us") else None,
        snapshot_quality=saved.snapshot_quality if saved.HasField("snapshot_quality") else None,
    )
    return Track(name, saved.seen_us, saved.frames, shots)


def _shown(seen: Visible) -> pb.VisibleTrack:
    x1, y1, x2, y2 = (float(side) for side in seen.box)
    return pb.VisibleTrack(
        number=seen.track.name.number - 1, box=pb.Box(x1=x1, y1=y1, x2=x2, y2=y2), score=seen.score
    )


def _seen(tracks: dict[int, Track], shown: pb.VisibleTrack) -> Visible:
    box = np.array([shown.box.x1, shown.box.y1, shown.box.x2, shown.box.y2], np.float32)
    # A face is looked at in the frame that it was found in, never later.
    return Visible(tracks[shown.number], box, shown.score, face=None)


def _outline(data: bytes) -> Floats | None:
    if not data:
        return None
    return np.frombuffer(data, np.uint8).reshape(OUTLINE_SHAPE).astype(np.float32)
