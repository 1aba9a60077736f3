"""Retroactive naming of ended tracks: a later track of the same face tells whose they were.

A glimpse of a person may be too short or too small for a name. When a track ends with an identity,
the unidentified tracks of the last minutes are compared with it as tracks of unknown persons are:
at the target rate, among as many as there are. Not before its end: until then its identity may
turn out to be another.
"""

from collections.abc import Container, Iterator
from copy import deepcopy
from dataclasses import dataclass

from processors.match.candidates import Candidate
from processors.match.decision import sighting_messages
from processors.match.decision.co_visibility import CoVisibility
from processors.match.decision.concurrent_tracks import ConcurrentTracks
from processors.match.decision.identification import (
    SEVERAL_PEOPLE,
    TWO_PEOPLE,
    DecisionRules,
)
from processors.match.embedding_codec import decode_embedding
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import SiteState
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Evidence
from sightline.identity.scale import ScoreScale


@dataclass(frozen=True, slots=True, eq=False)
class RetroactiveNaming:
    """Changed identities of earlier tracks; the site itself is not changed."""

    _site: SiteState
    _reference: ReferenceData
    _rules: DecisionRules
    _tracks: ConcurrentTracks
    _changed: Container[str]  # ids of the tracks that the present event has changed

    def named_by(
        self, track: pb.TrackState, evidence: Evidence, linked: Candidate | None, scale: ScoreScale
    ) -> Iterator[pb.TrackState]:
        """Yield the earlier tracks that get the identity of a track.

        Args:
            track: Track that has just ended with an identity.
            evidence: Its evidence.
            linked: Unknown person whom the track is as safely as the enrolled one.
            scale: Scale of a search among unknown persons.
        """
        if linked is not None:
            yield from self._of_linked_person(track, linked, scale)
        yield from self._unidentified(track, evidence)

    def _unidentified(self, track: pb.TrackState, evidence: Evidence) -> Iterator[pb.TrackState]:
        """Yield the unidentified tracks that are as alike as two tracks of one person."""
        pack = track.decided.pack
        others = [
            other
            for other in self._site.unidentified(pack)
            if other.track_id not in self._changed and len(other.face) == evidence.template.nbytes
        ]
        scale = self._reference.facts.scale_of_ids(pack, len(others), self._rules.target_fpir)
        for other in others:
            observations = min(other.decided.shots, evidence.count)
            score = float(decode_embedding(other.face) @ evidence.template)
            if score < scale.threshold(observations) or score <= _best_other(other, track):
                continue
            if not _is_undecided(other.decided) and self._can_be(other, track):
                yield self._named(other, track, score, scale)

    def _of_linked_person(
        self, track: pb.TrackState, linked: Candidate, scale: ScoreScale
    ) -> Iterator[pb.TrackState]:
        """Yield the tracks of an unknown person who turns out to be enrolled.

        Only where all of them are over and still remembered: else one person had two ids.
        """
        person = int(linked.key)
        decided = self._site.unknown_persons.get(person)
        earlier = [
            other for other in self._site.tracks_of(person) if other.track_id != track.track_id
        ]
        remembered = {track.track_id, *(other.track_id for other in earlier)}
        if (
            decided is not None
            and track.decided.person_id
            and not self._reference.corrections.is_named(person)
            and {template.track_id for template in decided.templates} <= remembered
            and all(self._can_be(other, track) for other in earlier)
        ):
            for other in earlier:
                yield self._named(other, track, linked.score, scale)

    def _can_be(self, other: pb.TrackState, track: pb.TrackState) -> bool:
        """Return whether an ended track can have been the person of a later one.

        Its identity must not be corrected, and no track of its time may have been that person.
        """
        person = self._tracks.person_held_by(track)
        is_over = other.decided.status == pb.Sighting.ENDED
        if not is_over or self._reference.corrections.is_corrected(other.track_id):
            return False
        return not any(
            self._tracks.person_held_by(beside) == person
            and self._tracks.co_visibility(other, beside) is not CoVisibility.NO
            for beside in self._tracks.neighbouring_tracks(other)
        )

    def _named(
        self, other: pb.TrackState, track: pb.TrackState, score: float, scale: ScoreScale
    ) -> pb.TrackState:
        """Return an ended track with the identity of a later one, at its own time."""
        copy = deepcopy(other)
        sighting, observations = copy.decided, track.decided.shots
        sighting.status, sighting.template, copy.face = pb.Sighting.CHANGED, other.face, b""
        person = track.decided.global_id
        sighting_messages.set_person(sighting, person, self._reference.enrolled_person(person))
        sighting.score, sighting.threshold = score, scale.threshold(observations)
        sighting.confidence = scale.confidence(score, observations)
        sighting.reason = f"the face of a later track, {track.track_id}"
        copy.holds, copy.holds_by = person, 0.0
        return copy


def _is_undecided(sighting: pb.Sighting) -> bool:
    """Return whether a track fits several enrolled people alike.

    It was no glimpse: a later track of one of them says nothing of whose it was.
    """
    is_tie = sighting.reason.endswith((TWO_PEOPLE, SEVERAL_PEOPLE))
    return is_tie and sighting.candidate != sighting.runner_up


def _best_other(other: pb.TrackState, track: pb.TrackState) -> float:
    """Return the score of a track with an enrolled person who is not the later track's."""
    sighting = other.decided
    is_same = sighting.candidate == track.decided.person_id
    return -1.0 if is_same else sighting.candidate_score
