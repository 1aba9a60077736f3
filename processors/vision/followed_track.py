"""A track as a part of saved state, and back: to the bit; and the checks of any saved state."""

from typing import Any, Literal

import numpy as np

from schemas import sightline_pb2 as pb
from sightline.models import outputs
from sightline.models.interface import Float32Array
from sightline.models.observation_policy import ObservationState
from sightline.models.outputs import Track, TrackProperties
from sightline.models.presence import Presence


class UnusableStateError(ValueError):
    """A record that holds no state, or the state of another version or of a later offset."""


def check_state(
    state: pb.VisionState | pb.CropTrackState, version: int, next_offset: int, content: str
) -> None:
    """Raise UnusableStateError unless a state is of a version, and of records before an offset.

    State of an earlier offset is right: since then its partition has had records of others only.
    """
    if state.version != version:
        raise UnusableStateError(f"state of version {state.version}")
    if state.next_offset > next_offset:
        # The group was moved back, or Kafka has forgotten its offsets: these records come twice.
        raise UnusableStateError(
            f"its state is of offset {state.next_offset}, its {content} go on at {next_offset}"
        )


def save_track(number: int, track: Track) -> pb.FollowedTrack:
    """Return the message of a track that has a number among those that it is saved with."""
    policy_state = track.observations
    return pb.FollowedTrack(
        number=number,
        track_id=track.properties.track_id,
        started_us=track.properties.started_us,
        seen_us=track.seen_us,
        frames=track.frames,
        epoch=policy_state.epoch,
        shots=policy_state.observations,
        turned=policy_state.turned_observations,
        total=policy_state.total_observations,
        misses=policy_state.misses,
        next_look_us=policy_state.next_detection_us,
        settled_until_us=policy_state.settled_until_us,
        snapshot_quality=policy_state.snapshot_quality,
        presence=_save_presence(track.presence),
    )


def _save_presence(presence: Presence) -> pb.TrackPresence:
    return pb.TrackPresence(
        detections=presence.detections,
        score_sum=presence.score_sum,
        attempts=presence.attempts,
        refusals=presence.refusals,
        face_px=presence.face_px,
        moved=presence.moved,
        first_box=_save_box(presence.first_box),
        picture_quality=presence.picture_quality,
        picture_frame=presence.picture_frame,
        picture_box=_save_box(presence.picture_box),
        width=presence.frame_size[0],
        height=presence.frame_size[1],
    )


def _restore_presence(saved: pb.TrackPresence) -> Presence:
    return Presence(
        detections=saved.detections,
        score_sum=saved.score_sum,
        attempts=saved.attempts,
        refusals=dict(saved.refusals),
        face_px=saved.face_px,
        moved=saved.moved,
        first_box=_restore_box(saved, "first_box"),
        picture_quality=saved.picture_quality,
        picture_frame=saved.picture_frame if saved.HasField("picture_frame") else None,
        picture_box=_restore_box(saved, "picture_box"),
        frame_size=(saved.width, saved.height),
    )


def _save_box(sides: Float32Array | None) -> pb.Box | None:
    return None if sides is None else outputs.box(sides)


def _restore_box(saved: pb.TrackPresence, name: Literal["first_box", "picture_box"]) -> Any:
    if not saved.HasField(name):
        return None
    box: pb.Box = getattr(saved, name)
    return np.array([box.x1, box.y1, box.x2, box.y2], np.float32)


def restore_track(
    saved: pb.FollowedTrack, number: int, state: pb.VisionState | pb.CropTrackState, event_id: str
) -> Track:
    """Return the track that was saved in a state, under its number in messages."""
    name = TrackProperties(
        saved.track_id, number, state.camera_id, state.site_id, event_id, saved.started_us
    )
    policy_state = ObservationState(
        epoch=saved.epoch,
        observations=saved.shots,
        turned_observations=saved.turned,
        total_observations=saved.total,
        misses=saved.misses,
        next_detection_us=saved.next_look_us,
        settled_until_us=saved.settled_until_us if saved.HasField("settled_until_us") else None,
        snapshot_quality=saved.snapshot_quality if saved.HasField("snapshot_quality") else None,
    )
    return Track(name, saved.seen_us, saved.frames, policy_state, _restore_presence(saved.presence))
