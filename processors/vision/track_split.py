"""Split of a camera's track whose face has become another person's, and exchange of two tracks."""

from collections.abc import Iterator
from dataclasses import dataclass

from processors.vision.camera_state import CameraState, VisibleTrack
from processors.vision.verification import TrackVerifier, Verdict, VerifiedCrop, begin_second_part
from schemas.ids import track_id
from sightline.models import outputs
from sightline.models.outputs import Track, TrackProperties
from sightline.models.track_verification import VerificationState, VerifiedFace
from sightline.runtime import metrics
from sightline.streaming.records import OutputRecord

_FIRST_ORDINAL = 1_000
"""Ordinals of second parts in the frame that they begin in; tracks that begin there as new ones have
lower ordinals (see `tracking._MAX_BOXES`)."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitTrack:
    """The two parts of a track."""

    ended: OutputRecord
    """Record that the first part has ended."""
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
        verification=begin_second_part(state, verified.face),
    )
    track.seen_us, track.frames = template.at_us, template.frames
    if state.steady_us is not None:
        track.seen_us, track.frames = state.steady_us, state.steady_frames
    metrics.TRACK_SPLITS.inc()
    return SplitTrack(outputs.track_ended(track, at_us), second)


class IdentityKeeper:
    """Puts the identities of a camera's tracks right after faces that disagree."""

    def __init__(self, verifier: TrackVerifier) -> None:
        self._verifier = verifier

    def resolve(
        self, state: CameraState, track: Track, verified: VerifiedCrop, at_us: int
    ) -> tuple[list[OutputRecord], Track | None]:
        """Exchange or split a track with a face that disagrees.

        Where the face is that of another track of the camera, the tracker has exchanged the two
        bodies: so are the tracks, and no name moves. Else a confirmed face splits the track.

        Returns:
            The records of an end, and the second part of a split track.
        """
        other = self._owner(state, track, verified.face)
        if other is not None and self._is_exchanged(track, other, verified):
            self._exchange(state, track, other, verified, at_us)
            return [], None
        if verified.verdict is not Verdict.CONFIRMED:
            if other is not None:  # its own face decides between exchange and split
                self._verifier.suspect(other, at_us)
            return [], None
        before = track.properties.number - 1
        number = state.tracker.renumber(before)
        split = ended_and_second(track, verified, at_us, number + 1, _FIRST_ORDINAL + number)
        del state.tracks[before]
        state.tracks[number] = split.second
        _show(state, {track.properties.number: split.second})
        return [split.ended], split.second

    def _owner(self, state: CameraState, track: Track, face: VerifiedFace) -> Track | None:
        """Return the other track of the camera that a face agrees with best."""
        others = [
            (other.verification.template.cosine(face), -other.properties.number, other)
            for other in state.tracks.values()
            if other is not track
            and other.verification.template is not None
            and self._verifier.agrees(face, other.verification)
        ]
        return max(others, key=lambda entry: entry[:2])[2] if others else None

    def _is_exchanged(self, track: Track, other: Track, verified: VerifiedCrop) -> bool:
        """Return whether another track's person is in a track's box, and not in its own."""
        doubt = other.verification.disagreeing
        if doubt is not None and self._verifier.agrees(doubt, track.verification):
            return True
        first = track.verification.disagreeing
        template = other.verification.template
        is_confirmed = verified.verdict is Verdict.CONFIRMED
        return is_confirmed and not (first and template and template.at_us >= first.at_us)

    def _exchange(
        self,
        state: CameraState,
        track: Track,
        other: Track,
        verified: VerifiedCrop,
        at_us: int,
    ) -> None:
        """Exchange the bodies of two tracks: each keeps its id, and what is known of its face."""
        number, other_number = track.properties.number, other.properties.number
        state.tracker.exchange(number - 1, other_number - 1)
        track.seen_us, other.seen_us = other.seen_us, track.seen_us
        _show(state, {number: other, other_number: track})
        doubt = other.verification.disagreeing
        _carry_over(track.verification, other.verification)
        self._verifier.accept(other.verification, verified.face)
        if doubt is not None and self._verifier.agrees(doubt, track.verification):
            self._verifier.accept(track.verification, doubt)
        else:
            track.verification.disagreeing = doubt
            self._verifier.suspect(track, at_us)
        metrics.TRACK_EXCHANGES.inc()


def _carry_over(one: VerificationState, other: VerificationState) -> None:
    """Exchange what is known of two tracks' boxes, and forget what disagreed."""
    one.unseen, other.unseen = other.unseen, one.unseen
    one.overlaps, other.overlaps = other.overlaps, one.overlaps
    for state in (one, other):
        state.disagreeing = state.suspected_us = state.steady_us = None


def _show(state: CameraState, tracks: dict[int, Track]) -> None:
    """Let boxes in the picture be those of other tracks, by the numbers of the present ones."""
    state.visible = list(_shown(state.visible, tracks))


def _shown(visible: list[VisibleTrack], tracks: dict[int, Track]) -> Iterator[VisibleTrack]:
    for shown in visible:
        track = tracks.get(shown.track.properties.number, shown.track)
        yield VisibleTrack(track, shown.box, shown.score, shown.face)
