"""A camera's state as a record of `vision-state`, and back: to the bit.

A worker that takes a camera over in the middle of a motion event goes on as its predecessor would
have.
"""

import numpy as np
from google.protobuf.message import DecodeError

from processors.vision.camera_state import CameraState, EventProgress, VisibleTrack
from processors.vision.followed_track import (
    UnusableStateError,
    check_state,
    restore_track,
    save_track,
)
from processors.vision.scene_cut import OUTLINE_SHAPE
from processors.vision.tracking import CameraTracker
from schemas import sightline_pb2 as pb
from sightline.models import outputs
from sightline.models.interface import Float32Array
from sightline.models.outputs import Track

_VERSION = 2
"""Version of the fields' meanings: the state of another version is not read."""


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
    return message.SerializeToString(deterministic=True)


def read_state(value: bytes, next_offset: int) -> pb.VisionState:
    """Return the message in a state's record, for frames that go on at an offset.

    Raises:
        UnusableStateError: The state cannot be used for these frames.
    """
    try:
        message = pb.VisionState.FromString(value)
    except DecodeError as error:
        raise UnusableStateError(f"no state: {error}") from error
    check_state(message, _VERSION, next_offset, "frames")
    return message


def restore_state(message: pb.VisionState, lost_seconds: float) -> CameraState:
    """Make a camera's state from its message.

    Raises:
        UnusableStateError: The message is damaged.
    """
    try:
        tracks = {
            track.number: restore_track(track, track.number + 1, message, message.event_id)
            for track in message.tracks
        }
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


def _visible_message(visible: VisibleTrack) -> pb.VisibleTrack:
    number = visible.track.properties.number - 1
    return pb.VisibleTrack(number=number, box=outputs.box(visible.box), score=visible.score)


def _visible_from(tracks: dict[int, Track], message: pb.VisibleTrack) -> VisibleTrack:
    box = np.array([message.box.x1, message.box.y1, message.box.x2, message.box.y2], np.float32)
    # A face is used in the frame that it was detected in, never later.
    return VisibleTrack(tracks[message.number], box, message.score, face=None)


def _outline(data: bytes) -> Float32Array | None:
    if not data:
        return None
    return np.frombuffer(data, np.uint8).reshape(OUTLINE_SHAPE).astype(np.float32)
