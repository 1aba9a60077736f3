"""Evidence of faces: the observations of a track combined."""

from collections.abc import Sequence

from processors.match.embedding_codec import decode_embedding
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Evidence, EvidenceKind, Observation, combine
from sightline.models.interface import MIN_FRONTALITY


def face_evidence(observations: Sequence[pb.FaceObservation], agree: float) -> Evidence:
    """Combine face observations to evidence; turned faces count only where there are no others.

    Turned faces tell whom a track may be, but scores are calibrated on frontal faces.
    """
    frontal = [entry for entry in observations if _is_frontal(entry)] or observations
    return combine([_observation(entry) for entry in frontal], agree)


def _observation(face: pb.FaceObservation) -> Observation:
    vector, quality = decode_embedding(face.embedding), face.quality.overall
    return Observation(face.observation_id, vector, quality, EvidenceKind.FACE)


def has_frontal_face(observations: Sequence[pb.FaceObservation]) -> bool:
    """Return whether any of the faces looks towards the camera."""
    return any(_is_frontal(entry) for entry in observations)


def _is_frontal(observation: pb.FaceObservation) -> bool:
    return observation.quality.frontality >= MIN_FRONTALITY
