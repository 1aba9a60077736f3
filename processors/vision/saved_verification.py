"""The verification of a track as a part of saved state, and back: to the bit."""

import numpy as np

from schemas import sightline_pb2 as pb
from sightline.models.track_verification import VerificationState, VerifiedFace


def save_verification(state: VerificationState) -> pb.TrackVerification | None:
    """Return the message of a track's verification; None where nothing is known."""
    if state == VerificationState():
        return None
    return pb.TrackVerification(
        template=_face_message(state.template),
        faces=state.faces,
        disagreeing=_face_message(state.disagreeing),
        next_us=state.next_us,
        misses=state.misses,
        suspected_us=state.suspected_us,
        steady_us=state.steady_us,
        steady_frames=state.steady_frames,
        unseen=state.unseen,
        overlaps=state.overlaps,
        velocity=state.velocity or (),
    )


def restore_verification(saved: pb.FollowedTrack) -> VerificationState:
    """Make a track's verification from its message.

    Raises:
        ValueError: The message is damaged.
    """
    state = saved.verification
    velocity = tuple(state.velocity)
    if len(velocity) not in (0, 2):
        raise ValueError(f"a velocity of {len(velocity)} numbers")
    return VerificationState(
        template=_face(state.template) if state.HasField("template") else None,
        faces=state.faces,
        disagreeing=_face(state.disagreeing) if state.HasField("disagreeing") else None,
        next_us=state.next_us,
        misses=state.misses,
        suspected_us=state.suspected_us if state.HasField("suspected_us") else None,
        steady_us=state.steady_us if state.HasField("steady_us") else None,
        steady_frames=state.steady_frames,
        unseen=state.unseen,
        overlaps=state.overlaps,
        velocity=(velocity[0], velocity[1]) if velocity else None,
    )


def _face_message(face: VerifiedFace | None) -> pb.VerifiedFace | None:
    if face is None:
        return None
    return pb.VerifiedFace(
        embedding=face.embedding.astype("<f2").tobytes(),
        weight=face.weight,
        at_us=face.at_us,
        frames=face.frames,
    )


def _face(message: pb.VerifiedFace) -> VerifiedFace:
    embedding = np.frombuffer(message.embedding, "<f2").astype(np.float32)
    return VerifiedFace(embedding, message.weight, message.at_us, message.frames)
