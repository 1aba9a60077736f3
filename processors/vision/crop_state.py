"""A track of crops as a record of `crop-state`, and back: to the bit."""

from processors.vision.followed_track import (
    UnusableStateError,
    check_state,
    restore_track,
    save_track,
)
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.models.outputs import Track

_VERSION = 2
"""Grows with every change of what the fields mean: another version's state is not read."""


def save_crop_track(track: Track, next_offset: int) -> bytes:
    """Return the value of a state's record; `next_offset` is behind the track's newest crop."""
    name = track.properties
    return pb.CropTrackState(
        version=_VERSION,
        camera_id=name.camera_id,
        site_id=name.site_id,
        motion_event_id=name.motion_event_id,
        next_offset=next_offset,
        track=save_track(name.number, track),
    ).SerializeToString(deterministic=True)


def restore_crop_track(value: bytes, next_offset: int) -> Track:
    """Return the track in a state's record, for crops that go on at an offset.

    Raises:
        UnusableStateError: The value is no state, or that of another version or a later moment.
    """
    try:
        state = decode(pb.CropTrackState, value)
    except InvalidMessageError as error:
        raise UnusableStateError(f"no state: {error}") from error
    check_state(state, _VERSION, next_offset, "crops")
    return restore_track(state.track, state.track.number, state, state.motion_event_id)
