"""Continued presence: a new motion event while somebody stays makes no new row of the access log.

An event ends with its camera's connection, with a step of its clock, or after a while of stillness;
the person in the picture did not leave. The row of the first track stands for as long as a settled
track is not observed again; after that the person has a new one.
"""

from collections.abc import Iterable

from processors.match.decision import co_visibility
from processors.match.decision.fixtures import iou
from processors.match.decision.identification import DecisionRules
from schemas import sightline_pb2 as pb
from sightline.runtime.clock import US_PER_SECOND

_SAME_PLACE_IOU = 0.3
"""Overlap of the last box before and the box now of somebody who did not move on meanwhile."""


def note(
    sighting: pb.Sighting,
    track: pb.TrackState,
    others: Iterable[pb.TrackState],
    rules: DecisionRules,
) -> None:
    """Note in a sighting the one that has the row of its presence, if there is one.

    Args:
        sighting: Decision that the track is a person.
        track: Its track.
        others: Tracks of the last minutes that were the same person.
        rules: Settings of the decision.
    """
    if not sighting.global_id or sighting.epoch:
        return
    earlier = [other for other in others if _is_continued_by(other, track, rules)]
    if not earlier:
        return
    last = max(earlier, key=lambda other: (other.ended_at_us, other.track_id)).decided
    row_id = last.continues or last.sighting_id
    row_us = last.continues_from_us or last.decided_at_us
    if sighting.decided_at_us - row_us < rules.settled_seconds * US_PER_SECOND:
        sighting.continues, sighting.continues_from_us = row_id, row_us


def _is_continued_by(other: pb.TrackState, track: pb.TrackState, rules: DecisionRules) -> bool:
    """Return whether the person of a track that is over was still there when another began."""
    last, first = other.shots[-1], track.shots[0]
    if not other.end.in_sight or other.track_id == track.track_id:
        return False
    if last.camera_id != first.camera_id or last.motion_event_id == first.motion_event_id:
        return False
    gap_us = co_visibility.begin_us(track) - other.ended_at_us
    if gap_us < 0:
        return False
    is_same_moment = gap_us <= rules.lost_seconds * US_PER_SECOND
    return is_same_moment or iou(last.track_box, first.track_box) >= _SAME_PLACE_IOU
