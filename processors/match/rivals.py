"""Two tracks of one camera at one moment are two people; here is what a moment is.

By capture times alone: who decides again decides the same.
"""

from enum import Enum

from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US

_PATIENCE = 2.0
"""So many times `lost_seconds` after a track has begun, the end of every track that was over by
then has been told: those that have no end were still there."""


class Together(Enum):
    """Whether two tracks were in the picture at the same time."""

    NO = "no"
    MAYBE = "maybe"  # the earlier one has not been seen since, and is not over either
    YES = "yes"


def begin_us(track: pb.TrackState) -> int:
    """When a track was first seen."""
    return track.shots[-1].track_started_at_us


def alive_us(track: pb.TrackState) -> int:
    """The latest moment that a track is known to have been seen at."""
    return max(track.ended_at_us, *(shot.captured_at_us for shot in track.shots))


def together(
    one: pb.TrackState, other: pb.TrackState, now_us: int, lost_seconds: float
) -> Together:
    """Whether two tracks of one camera and motion event were seen at once, as far as known now."""
    first, second = sorted((one, other), key=lambda track: (begin_us(track), track.track_id))
    if alive_us(first) >= begin_us(second):
        return Together.YES
    if first.ended_at_us:
        return Together.NO
    if second.shots[-1].track_number <= first.shots[-1].track_number:
        return Together.NO  # numbers grow: they began anew, and who counted before has died
    patience_us = round(_PATIENCE * lost_seconds * US)
    if max(now_us, alive_us(second)) > begin_us(second) + patience_us:
        return Together.YES
    return Together.MAYBE


def gap_us(one: pb.TrackState, other: pb.TrackState) -> int:
    """How long after one of two tracks the other began; 0 where they were seen at once."""
    return max(0, begin_us(other) - alive_us(one), begin_us(one) - alive_us(other))


def prevails(margin: float, track: pb.TrackState, holder: pb.TrackState) -> bool:
    """Whether a track has the better evidence for whom another one holds: the greater margin
    above what a name needs; of two that are equal, the track that began first."""
    mine = (-margin, begin_us(track), track.track_id)
    return mine < (-holder.holds_by, begin_us(holder), holder.track_id)
