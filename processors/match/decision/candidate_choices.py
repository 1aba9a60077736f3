"""Choices of a track: its candidates, and what excludes some of them at this time."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.match.candidates import Candidate
from processors.match.decision import co_visibility
from processors.match.decision.co_visibility import CoVisibility
from processors.match.decision.concurrent_tracks import ConcurrentTracks
from processors.match.decision.identification import CandidateSet
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import SiteState
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Evidence
from sightline.identity.scale import ScoreScale


@dataclass(frozen=True, slots=True, eq=False)
class CandidateChoices:
    """Exclusion of candidates by corrections, by other tracks, and by walking times."""

    _site: SiteState
    _reference: ReferenceData
    _concurrent: ConcurrentTracks

    def excluded(self, candidates: Sequence[Candidate], near: float) -> set[str]:
        """Return the candidates with a cannot-link to a candidate who comes nearer.

        That is how "this was not that person" is learned from.
        """
        excluded: set[str] = set()
        for candidate in sorted(candidates, key=lambda entry: (-entry.score, entry.key)):
            if candidate.key not in excluded and candidate.score >= near:
                person = self._reference.global_id_of(candidate.key)
                others = self._reference.corrections.cannot_link(person)
                excluded |= {self._reference.key_of(other) for other in others}
                excluded.discard(candidate.key)
        return excluded & {candidate.key for candidate in candidates}

    def choice(
        self,
        track: pb.TrackState,
        evidence: Evidence,
        candidates: list[Candidate],
        scale: ScoreScale,
    ) -> CandidateSet:
        """Return the candidates of one population, with their tracks of the same time."""
        near = {
            self._reference.global_id_of(candidate.key): candidate
            for candidate in candidates
            if candidate.score >= min(scale.unknown_threshold, scale.threshold(evidence.count))
        }
        claimed: set[str] = set()
        possibly_claimed: set[str] = set()
        for other in self._concurrent.neighbouring_tracks(track):
            candidate = near.get(self._concurrent.person_held_by(other))
            if candidate is None:
                continue
            overlap = self._concurrent.co_visibility(track, other)
            margin = candidate.score - scale.threshold(evidence.count)
            if overlap is CoVisibility.MAYBE:
                # Of a picture and a person it does not matter which of them is over.
                if not co_visibility.moves_before_picture(margin, track, other):
                    possibly_claimed.add(candidate.key)
            elif overlap is CoVisibility.YES and not co_visibility.prevails(margin, track, other):
                claimed.add(candidate.key)
        unreachable = {
            candidate.key
            for person, candidate in near.items()
            if self._is_unreachable(track, person)
        }
        return CandidateSet(candidates, scale, claimed, possibly_claimed, unreachable)

    def _is_unreachable(self, track: pb.TrackState, person: int) -> bool:
        """Return whether a person was on another camera within less than the walking time."""
        camera = track.shots[-1].camera_id
        return any(
            co_visibility.gap_us(track, other)
            < self._reference.facts.walking_us(camera, other.shots[-1].camera_id)
            for other in self._site.tracks_of(person)
            if other.shots[-1].camera_id != camera
        )
