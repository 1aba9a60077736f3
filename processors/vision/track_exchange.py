"""Exchange of two tracks of a camera whose bodies the tracker has exchanged: no name moves."""

from collections.abc import Iterable

from processors.vision.verification import FaceVerdict, TrackVerifier, VerifiedCrop
from sightline.models.outputs import Track
from sightline.models.track_verification import VerificationState, VerifiedFace
from sightline.runtime import metrics


class TrackExchange:
    """Finds the tracks whose faces are each other's, and exchanges what is known of their bodies.

    Which boxes or crops are whose is up to the caller.
    """

    def __init__(self, verifier: TrackVerifier) -> None:
        self._verifier = verifier

    def partner(
        self, track: Track, tracks: Iterable[Track], verified: VerifiedCrop, at_us: int
    ) -> Track | None:
        """Return the track that has exchanged bodies with a track whose face disagrees.

        It is the one that the face agrees with, unless that has shown the same face meanwhile:
        then there are two boxes of one body. Before the face is confirmed, only a track whose own
        face is the first one's; another one is verified at once. For the face of nobody there it
        is the track that the first one's person has gone to.
        """
        owner = self._owner(track, tracks, verified.face)
        if owner is None:
            return self._elsewhere(track, tracks) if _is_confirmed(verified) else None
        doubt = owner.verification.disagreeing
        if doubt is not None and self._verifier.agrees(doubt, track.verification):
            return owner
        if not _is_confirmed(verified):
            self._verifier.suspect(owner, at_us)
            return None
        first, template = track.verification.disagreeing, owner.verification.template
        is_shown = first is not None and template is not None and template.at_us >= first.at_us
        return None if is_shown else owner

    def complete(self, track: Track, partner: Track, verified: VerifiedCrop, at_us: int) -> None:
        """Exchange what is known of two tracks' bodies, and keep what is known of their faces."""
        doubt = partner.verification.disagreeing
        track.seen_us, partner.seen_us = partner.seen_us, track.seen_us
        _exchange_boxes(track.verification, partner.verification)
        self._take(partner, verified.face, at_us)
        self._take(track, doubt, at_us)
        metrics.TRACK_EXCHANGES.inc()

    def _take(self, track: Track, face: VerifiedFace | None, at_us: int) -> None:
        """Take the face of a track's new body, which was found while it was another track's."""
        if face is not None and self._verifier.agrees(face, track.verification):
            self._verifier.accept(track.verification, face)
            return
        track.verification.disagreeing = face
        self._verifier.suspect(track, at_us)

    def _elsewhere(self, track: Track, tracks: Iterable[Track]) -> Track | None:
        """Return the track with a disagreeing face that is the person of another track."""
        for other in tracks:
            doubt = other.verification.disagreeing
            if other is track or doubt is None:
                continue
            if self._verifier.agrees(doubt, track.verification):
                return other
        return None

    def _owner(self, track: Track, tracks: Iterable[Track], face: VerifiedFace) -> Track | None:
        """Return the other track that a face agrees with best."""
        owners = [
            (other.verification.template.cosine(face), -other.properties.number, other)
            for other in tracks
            if other is not track
            and other.verification.template is not None
            and self._verifier.agrees(face, other.verification)
        ]
        return max(owners, key=lambda entry: entry[:2])[2] if owners else None


def _is_confirmed(verified: VerifiedCrop) -> bool:
    return verified.verdict is FaceVerdict.CONFIRMED


def _exchange_boxes(first: VerificationState, second: VerificationState) -> None:
    """Exchange what is known of two tracks' boxes, and forget what disagreed."""
    first.unseen, second.unseen = second.unseen, first.unseen
    first.overlaps, second.overlaps = second.overlaps, first.overlaps
    first.velocity, second.velocity = second.velocity, first.velocity
    for state in (first, second):
        state.disagreeing = state.suspected_us = state.steady_us = None
