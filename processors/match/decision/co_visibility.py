"""Co-visibility of tracks: two tracks of one camera at one time are two people.

It follows from capture times alone, so that a repeated decision comes to the same result.
"""

import math
from enum import Enum

from processors.match.decision.fixtures import is_still
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US_PER_SECOND

_PATIENCE = 2.0
"""Multiple of `lost_seconds` after the start of a track within which the ends of all tracks that
were over by then have arrived: tracks without an end were still in the picture."""


class CoVisibility(Enum):
    """Overlap in time of two tracks of one camera."""

    NO = "no"
    MAYBE = "maybe"  # the earlier one has not been seen since, and is not over either
    YES = "yes"


def begin_us(track: pb.TrackState) -> int:
    """Return the capture time at which a track was first seen (µs)."""
    return track.shots[-1].track_started_at_us


def last_seen_us(track: pb.TrackState) -> int:
    """Return the latest capture time at which a track is known to have been seen (µs)."""
    return max(track.ended_at_us, *(observation.captured_at_us for observation in track.shots))


def co_visibility(
    track: pb.TrackState, other: pb.TrackState, now_us: int, lost_seconds: float
) -> CoVisibility:
    """Return whether two tracks of one camera and motion event overlap, as far as known now."""
    first, second = sorted((track, other), key=lambda entry: (begin_us(entry), entry.track_id))
    if last_seen_us(first) >= begin_us(second):
        return CoVisibility.YES
    if first.ended_at_us:
        return CoVisibility.NO
    if second.shots[-1].track_number <= first.shots[-1].track_number:
        # Numbers grow: these began anew, because the worker that counted before has died.
        return CoVisibility.NO
    patience_us = round(_PATIENCE * lost_seconds * US_PER_SECOND)
    if max(now_us, last_seen_us(second)) > begin_us(second) + patience_us:
        return CoVisibility.YES
    return CoVisibility.MAYBE


def gap_us(track: pb.TrackState, other: pb.TrackState) -> int:
    """Return the time between two tracks (µs); 0 where they overlap."""
    return max(0, begin_us(other) - last_seen_us(track), begin_us(track) - last_seen_us(other))


def moves_before_picture(margin: float, track: pb.TrackState, holder: pb.TrackState) -> bool:
    """Return whether a track is safely a person and moves, and the holder may be their picture.

    An operator's word, and a person that the holder has founded, are not taken from it.
    """
    is_by_score = math.isfinite(holder.holds_by)
    return margin >= 0 and is_by_score and is_still(holder) and not is_still(track)


def prevails(margin: float, track: pb.TrackState, holder: pb.TrackState) -> bool:
    """Return whether a track has better evidence for a person than the track that holds it.

    A track that moves prevails over one that has never moved, which may be a picture of the person.
    Else the greater margin above the threshold prevails; of equal ones, the track that began first.

    Args:
        margin: Score of the track minus the threshold.
        track: Track that might be the person.
        holder: Track that is decided to be the person.
    """
    if moves_before_picture(margin, track, holder):
        return True
    if moves_before_picture(holder.holds_by, holder, track):
        return False
    own = (-margin, begin_us(track), track.track_id)
    return own < (-holder.holds_by, begin_us(holder), holder.track_id)
