"""A track as a part of saved state, and back: to the bit."""

from schemas import sightline_pb2 as pb
from sightline.models.observation_policy import ObservationState
from sightline.models.outputs import Track, TrackName


def save_track(number: int, track: Track) -> pb.FollowedTrack:
    """Return the message of a track that has a number among those that it is saved with."""
    shots = track.observations
    return pb.FollowedTrack(
        number=number,
        track_id=track.name.track_id,
        started_us=track.name.started_us,
        seen_us=track.seen_us,
        frames=track.frames,
        epoch=shots.epoch,
        shots=shots.count,
        turned=shots.turned,
        total=shots.total,
        misses=shots.misses,
        next_look_us=shots.next_look_us,
        settled_until_us=shots.settled_until_us,
        snapshot_quality=shots.snapshot_quality,
    )


def restore_track(name: TrackName, saved: pb.FollowedTrack) -> Track:
    """Return the track that was saved, under its name."""
    shots = ObservationState(
        epoch=saved.epoch,
        count=saved.shots,
        turned=saved.turned,
        total=saved.total,
        misses=saved.misses,
        next_look_us=saved.next_look_us,
        settled_until_us=saved.settled_until_us if saved.HasField("settled_until_us") else None,
        snapshot_quality=saved.snapshot_quality if saved.HasField("snapshot_quality") else None,
    )
    return Track(name, saved.seen_us, saved.frames, shots)
