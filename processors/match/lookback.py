"""Tracks that are over, named by a later one of the same face: by themselves they were nobody.

A glimpse of somebody may be too short or too small for a name. When a track of the same person
ends as somebody, it is compared with those of the last minutes that did not, as tracks of
strangers are: at the wanted rate, for as many as there are to compare with. Not before it ends:
until then it may turn out to be somebody else.
"""

from collections.abc import Container, Iterator

from processors.match import sighting
from processors.match.decide import Candidate, Rules
from processors.match.known import Known
from processors.match.moment import Moment
from processors.match.rivals import Together
from processors.match.state import SiteState
from processors.match.vectors import vector_of
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Evidence
from sightline.identity.scale import Scale


class LookBack:
    """What a decision says of tracks before it; nothing is changed."""

    def __init__(
        self,
        site: SiteState,
        known: Known,
        rules: Rules,
        moment: Moment,
        changed: Container[str],
    ) -> None:
        self._site = site
        self._known = known
        self._rules = rules
        self._moment = moment
        self._changed = changed  # the tracks that this event has changed

    def named_by(
        self, track: pb.TrackState, evidence: Evidence, stranger: Candidate | None, scale: Scale
    ) -> Iterator[pb.TrackState]:
        """The tracks that a decided track gives its identity to.

        `stranger`: whom it as safely is as the enrolled person that it was decided to be; `scale`
        is that of strangers.
        """
        if stranger is not None:
            yield from self._of_stranger(track, stranger, scale)
        yield from self._undecided(track, evidence)

    def _undecided(self, track: pb.TrackState, evidence: Evidence) -> Iterator[pb.TrackState]:
        """Those that were nobody, and look like this one as two tracks of one person do."""
        pack = track.decided.pack
        others = [
            one
            for one in self._site.nobody(pack)
            if one.track_id not in self._changed and len(one.face) == evidence.template.nbytes
        ]
        scale = self._known.facts.scale_of_ids(pack, len(others), self._rules.wanted_rate)
        for other in others:
            shots = min(other.decided.shots, evidence.count)
            score = float(vector_of(other.face) @ evidence.template)
            if score < scale.threshold(shots) or score <= self._of_another(other, track):
                continue
            if self._was_alone(other, track):
                yield self._named(other, track, score, scale)

    def _of_another(self, other: pb.TrackState, track: pb.TrackState) -> float:
        """How near a track came to somebody enrolled who is not whom the later one is."""
        said = other.decided
        return -1.0 if said.candidate == track.decided.person_id else said.candidate_score

    def _of_stranger(
        self, track: pb.TrackState, stranger: Candidate, scale: Scale
    ) -> Iterator[pb.TrackState]:
        """Those of a stranger who turns out to be somebody enrolled.

        Only where all of them are over and remembered: else one person had two ids.
        """
        met = int(stranger.key)
        kept = self._site.strangers.get(met)
        earlier = [one for one in self._site.tracks_of(met) if one.track_id != track.track_id]
        remembered = {track.track_id, *(one.track_id for one in earlier)}
        if (
            kept is not None
            and track.decided.person_id
            and not self._known.overlay.is_named(met)
            and {look.track_id for look in kept.templates} <= remembered
            and all(self._was_alone(one, track) for one in earlier)
        ):
            for other in earlier:
                yield self._named(other, track, stranger.score, scale)

    def _was_alone(self, other: pb.TrackState, track: pb.TrackState) -> bool:
        """Whether a track is over and can have been whom another is: nobody has said who it was,
        and no other track of its moments was that person.
        """
        person = self._moment.holds(track)
        if other.decided.status != pb.Sighting.ENDED:
            return False
        if self._known.overlay.is_corrected(other.track_id):
            return False
        return not any(
            self._moment.holds(one) == person
            and self._moment.together(other, one) is not Together.NO
            for one in self._moment.beside(other)
        )

    def _named(
        self, other: pb.TrackState, track: pb.TrackState, score: float, scale: Scale
    ) -> pb.TrackState:
        """A track that is over, as whom a later one is. It was there then, not now."""
        now = pb.TrackState()
        now.CopyFrom(other)
        said, shots = now.decided, track.decided.shots
        said.status, said.template, now.face = pb.Sighting.CHANGED, other.face, b""
        sighting.name(said, track.decided.global_id, self._known.enrolled(track.decided.global_id))
        said.score, said.threshold = score, scale.threshold(shots)
        said.confidence = scale.confidence(score, shots)
        said.reason = f"the face of a later track, {track.track_id}"
        now.holds, now.holds_by = track.decided.global_id, 0.0
        return now
