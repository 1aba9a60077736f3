"""People who were erased, where other people's tracks speak of them."""

from processors.match.known import Known
from schemas import sightline_pb2 as pb


def mentions(known: Known, track: pb.TrackState) -> bool:
    """Whether a track says that somebody who was erased came near to it."""
    said = track.decided
    return any(_is_erased(known, key) for key in (said.candidate, said.runner_up)) or any(
        known.overlay.is_erased(one) for one in track.waits_for
    )


def without_mentions(known: Known, track: pb.TrackState) -> pb.TrackState:
    """The track as it is without them."""
    now = pb.TrackState()
    now.CopyFrom(track)
    if _is_erased(known, now.decided.candidate):
        now.decided.ClearField("candidate")
        now.decided.ClearField("candidate_score")
    if _is_erased(known, now.decided.runner_up):
        now.decided.ClearField("runner_up")
        now.decided.ClearField("runner_up_score")
    del now.waits_for[:]
    now.waits_for.extend(one for one in track.waits_for if not known.overlay.is_erased(one))
    return now


def _is_erased(known: Known, key: str) -> bool:
    return bool(key) and known.overlay.is_erased(known.global_id_of(key))
