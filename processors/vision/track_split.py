"""Split of a track whose face has become another person's."""

from dataclasses import dataclass

from processors.vision.verification import VerifiedCrop, begin_second_part
from schemas.ids import track_id
from sightline.models.outputs import Track, TrackProperties
from sightline.runtime import metrics


@dataclass(frozen=True, slots=True, eq=False)
class SplitTrack:
    """The two parts of a track."""

    first: Track
    """Over: it was last seen at the last moment that agreed."""
    second: Track


def ended_and_second(
    track: Track, verified: VerifiedCrop, at_us: int, number: int, ordinal: int
) -> SplitTrack:
    """Split a track at the last moment that agreed.

    That is its last face that agreed, and the time during which it was followed from there on
    without a gap, a jump or an overlap where there was one. The second part begins with the last
    of these, or else with the first face that disagreed.

    Args:
        track: Track with a confirmed disagreement.
        verified: The face that confirmed it.
        at_us: Capture time of that face.
        number: Number of the second part in messages.
        ordinal: Rank of the second part among the tracks that begin in its first frame.
    """
    state, name = track.verification, track.properties
    template, disagreeing = state.template, state.disagreeing
    if template is None or disagreeing is None:
        raise ValueError("a track without faces that disagree is not split")
    suspected_us = state.suspected_us
    started_us = disagreeing.at_us if suspected_us is None else suspected_us
    second = Track(
        TrackProperties(
            track_id=track_id(name.camera_id, started_us, ordinal),
            number=number,
            camera_id=name.camera_id,
            site_id=name.site_id,
            motion_event_id=name.motion_event_id,
            started_us=started_us,
        ),
        seen_us=at_us,
        frames=track.frames - disagreeing.frames + 1,
        presence=track.presence.of_second_part(),
        verification=begin_second_part(state, verified.face),
    )
    track.seen_us, track.frames = template.at_us, template.frames
    if state.steady_us is not None:
        track.seen_us, track.frames = state.steady_us, state.steady_frames
    metrics.TRACK_SPLITS.inc()
    return SplitTrack(track, second)
