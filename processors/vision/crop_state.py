"""A track of crops as a record of `crop-state`, and back: to the bit."""

from processors.vision.followed_track import restore_track, save_track
from processors.vision.state import UnusableStateError
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.models.outputs import Track, TrackName

_VERSION = 1
"""Grows with every change of what the fields mean: another version's state is not read."""


def save_crop_track(track: Track, next_offset: int) -> bytes:
    """Return the value of a state's record; `next_offset` is behind the track's newest crop."""
    name = track.name
    return pb.CropTrackState(
        version=_VERSION,
        camera_id=name.camera_id,
        site_id=name.site_id,
        motion_event_id=name.motion_event_id,
        next_offset=next_offset,
        track=save_track(name.number, track),
    ).SerializeToString()


def restore_crop_track(value: bytes, next_offset: int) -> Track:
    """Return the track in a state's record, for crops that go on at an offset.

    State of an earlier offset is right: since then its partition has had crops of other tracks
    only.

    Raises:
        UnusableStateError: The value is no state, or that of another version or a later moment.
    """
    try:
        state = decode(pb.CropTrackState, value)
    except InvalidMessageError as error:
        raise UnusableStateError(f"no state: {error}") from error
    if state.version != _VERSION:
        raise UnusableStateError(f"state of version {state.version}")
    if state.next_offset > next_offset:
        # The group was moved back, or Kafka has forgotten its offsets: these crops come again.
        raise UnusableStateError(
            f"its state is of offset {state.next_offset}, its crops go on at {next_offset}"
        )
    name = TrackName(
        track_id=state.track.track_id,
        number=state.track.number,
        camera_id=state.camera_id,
        site_id=state.site_id,
        motion_event_id=state.motion_event_id,
        started_us=state.track.started_us,
    )
    return restore_track(name, state.track)
