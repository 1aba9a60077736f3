"""A track as a part of saved state, and back: to the bit; and the checks of any saved state."""

from processors.vision.saved_verification import restore_verification, save_verification
from schemas import sightline_pb2 as pb
from sightline.models.observation_policy import ObservationState
from sightline.models.outputs import Track, TrackProperties


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
        verification=save_verification(track.verification),
    )


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
    verification = restore_verification(saved)
    return Track(name, saved.seen_us, saved.frames, policy_state, verification)
