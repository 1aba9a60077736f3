"""A camera's state as a record of `vision-state`, and back: to the bit.

A worker that takes a camera over in the middle of a motion event goes on as its predecessor would
have.
"""

import numpy as np
from google.protobuf.message import DecodeError

from processors.vision.camera_state import CameraState, EventProgress, VisibleTrack
from processors.vision.followed_track import restore_track, save_track
from processors.vision.scene_cut import OUTLINE_SHAPE
from processors.vision.tracking import CameraTracker
from schemas import sightline_pb2 as pb
from sightline.models.interface import Floats
from sightline.models.outputs import Track, TrackName

_VERSION = 1
"""Version of the fields' meanings: the state of another version is not read."""


class UnusableStateError(ValueError):
    """A record that holds no state, or the state of another version or of a later offset."""


def save_state(camera_id: str, next_offset: int, state: CameraState) -> bytes:
    """Return the value of a state's record.

    `next_offset` is the offset after the last frame that the state has taken in.
    """
    progress = state.progress
    message = pb.VisionState(
        version=_VERSION,
        camera_id=camera_id,
        site_id=state.site_id,
        next_offset=next_offset,
        event_id=progress.event_id,
        last_us=progress.last_us,
        detected_us=progress.detected_us,
        outline=b"" if progress.outline is None else progress.outline.astype(np.uint8).tobytes(),
        tracks=[save_track(number, track) for number, track in state.tracks.items()],
        visible=[_visible_message(visible) for visible in state.visible],
    )
    state.tracker.save(message)
    return message.SerializeToString()


def read_state(value: bytes, next_offset: int) -> pb.VisionState:
    """Return the message in a state's record, for frames that go on at an offset.

    State of an earlier offset is right: since then its partition has had frames of other cameras
    only.

    Raises:
        UnusableStateError: The state cannot be used for these frames.
    """
    try:
        message = pb.VisionState.FromString(value)
    except DecodeError as error:
        raise UnusableStateError(f"no state: {error}") from error
    if message.version != _VERSION:
        raise UnusableStateError(f"state of version {message.version}")
    if message.next_offset > next_offset:
        # The group was moved back, or Kafka has forgotten its offsets: these frames come twice.
        raise UnusableStateError(
            f"its state is of offset {message.next_offset}, its frames go on at {next_offset}"
        )
    return message


def restore_state(message: pb.VisionState, lost_seconds: float) -> CameraState:
    """Make a camera's state from its message.

    Raises:
        UnusableStateError: The message is damaged.
    """
    try:
        tracks = {track.number: _restored(message, track) for track in message.tracks}
        return CameraState(
            site_id=message.site_id,
            progress=EventProgress(
                event_id=message.event_id,
                last_us=message.last_us,
                detected_us=message.detected_us if message.HasField("detected_us") else None,
                outline=_outline(message.outline),
            ),
            tracker=CameraTracker.restored(message, lost_seconds),
            tracks=tracks,
            visible=[_visible_from(tracks, track) for track in message.visible],
        )
    except (KeyError, ValueError) as error:
        raise UnusableStateError(f"damaged state: {error}") from error


def _restored(state: pb.VisionState, saved: pb.FollowedTrack) -> Track:
    name = TrackName(
        track_id=saved.track_id,
        number=saved.number + 1,
        camera_id=state.camera_id,
        site_id=state.site_id,
        motion_event_id=state.event_id,
        started_us=saved.started_us,
    )
    return restore_track(name, saved)


def _visible_message(visible: VisibleTrack) -> pb.VisibleTrack:
    x1, y1, x2, y2 = (float(side) for side in visible.box)
    return pb.VisibleTrack(
        number=visible.track.name.number - 1,
        box=pb.Box(x1=x1, y1=y1, x2=x2, y2=y2),
        score=visible.score,
    )


def _visible_from(tracks: dict[int, Track], message: pb.VisibleTrack) -> VisibleTrack:
    box = np.array([message.box.x1, message.box.y1, message.box.x2, message.box.y2], np.float32)
    # A face is used in the frame that it was detected in, never later.
    return VisibleTrack(tracks[message.number], box, message.score, face=None)


def _outline(data: bytes) -> Floats | None:
    if not data:
        return None
    return np.frombuffer(data, np.uint8).reshape(OUTLINE_SHAPE).astype(np.float32)
