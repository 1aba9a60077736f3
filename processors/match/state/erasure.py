"""Mentions of erased people in the tracks of others."""

from copy import deepcopy

from processors.match.reference.reference_data import ReferenceData
from schemas import sightline_pb2 as pb


def mentions_erased(reference: ReferenceData, track: pb.TrackState) -> bool:
    """Return whether a track names an erased person as a candidate or waits for one."""
    sighting = track.decided
    keys = (sighting.candidate, sighting.runner_up)
    return any(_is_erased(reference, key) for key in keys) or any(
        reference.corrections.is_erased(person) for person in track.waits_for
    )


def without_erased(reference: ReferenceData, track: pb.TrackState) -> pb.TrackState:
    """Return a copy of a track that mentions no erased person."""
    copy = deepcopy(track)
    if _is_erased(reference, copy.decided.candidate):
        copy.decided.ClearField("candidate")
        copy.decided.ClearField("candidate_score")
    if _is_erased(reference, copy.decided.runner_up):
        copy.decided.ClearField("runner_up")
        copy.decided.ClearField("runner_up_score")
    del copy.waits_for[:]
    copy.waits_for.extend(
        person for person in track.waits_for if not reference.corrections.is_erased(person)
    )
    return copy


def _is_erased(reference: ReferenceData, key: str) -> bool:
    return bool(key) and reference.corrections.is_erased(reference.global_id_of(key))
