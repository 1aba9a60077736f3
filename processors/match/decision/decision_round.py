"""Decision round of one event: its own track, and the open tracks beside it that this concerns.

No two tracks of a camera are one person at one time. The track with the better evidence is the
person; the other is decided without them. When a track lets go of a person, or is over, the tracks
that wait for that person are decided again at once (rematch).
"""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

from processors.match.candidates import Candidate, CandidateAnswer, CandidateQuery
from processors.match.decision import co_visibility, continued_presence, sighting_messages
from processors.match.decision.candidate_choices import CandidateChoices
from processors.match.decision.co_visibility import CoVisibility
from processors.match.decision.concurrent_tracks import ConcurrentTracks
from processors.match.decision.face_evidence import face_evidence, has_frontal_face
from processors.match.decision.fixtures import is_still, reason, recognised_fixture
from processors.match.decision.identification import Case, Decision, DecisionRules, PriorIdentity
from processors.match.decision.retroactive_naming import RetroactiveNaming
from processors.match.embedding_codec import encode_embedding
from processors.match.reference.reference_data import ReferenceData
from processors.match.state.site_state import SiteState
from processors.match.state.unknown_persons import has_template, without_template
from schemas import ids
from schemas import sightline_pb2 as pb

_MAX_DECISIONS = 2
"""Decisions of a track with one event: once by itself, once by what that led to."""


class CandidatesMissing(Exception):  # noqa: N818 - no error: the step returns the query
    """A track has to be decided whose candidates are not among the answers."""

    def __init__(self, query: CandidateQuery) -> None:
        super().__init__(query.track_id)
        self.query = query


class DecisionRound:
    """Decisions at one capture time; the site itself is not changed."""

    def __init__(
        self,
        site: SiteState,
        reference: ReferenceData,
        rules: DecisionRules,
        now_us: int,
        answers: Mapping[str, CandidateAnswer],
    ) -> None:
        self._site = site
        self._reference = reference
        self._rules = rules
        self._now_us = now_us
        self._answers = answers
        self._before: dict[str, pb.Sighting | None] = {}
        self._tracks: dict[str, pb.TrackState] = {}
        self._concurrent = ConcurrentTracks(
            site, reference, self._tracks, now_us, rules.lost_seconds
        )
        self._choices = CandidateChoices(site, reference, self._concurrent)
        self._last_decision: dict[str, tuple[Case, Decision]] = {}

    def decide(self, track: pb.TrackState, before: pb.Sighting | None) -> None:
        """Decide a track, and the tracks that this concerns.

        Args:
            track: Track with the event's observation or end.
            before: Its sighting before this event.

        Raises:
            CandidatesMissing: A track has to be decided without an answer for it.
        """
        self._before[track.track_id] = before
        self._tracks[track.track_id] = track
        waiting = deque([track.track_id])
        decisions: Counter[str] = Counter()
        while waiting:
            track_id = waiting.popleft()
            decisions[track_id] += 1
            if decisions[track_id] <= _MAX_DECISIONS:
                waiting.extend(self._rematch(track_id))
        self._name_earlier_tracks(self._tracks[track.track_id])

    def decided(self) -> dict[str, tuple[pb.Sighting | None, pb.TrackState]]:
        """Return by track its sighting before this event and its state now; the own track last."""
        own, *others = self._tracks
        return {
            track_id: (self._before[track_id], self._tracks[track_id])
            for track_id in (*others, own)
        }

    def changed_persons(self) -> dict[int, pb.UnknownPerson | None]:
        """Return the unknown persons that these decisions change; None removes one."""
        changed: dict[int, pb.UnknownPerson | None] = {}
        for before, track in self.decided().values():
            if track.ended_at_us or sighting_messages.is_changed(before, track.decided):
                self._update_persons(track, changed)
        return changed

    def _name_earlier_tracks(self, track: pb.TrackState) -> None:
        """Name the tracks that ended before a track which has just ended with an identity."""
        if not track.ended_at_us or not track.decided.global_id:
            return
        if self._reference.corrections.is_corrected(track.track_id):
            return
        case, decision = self._last_decision[track.track_id]
        naming = RetroactiveNaming(
            self._site, self._reference, self._rules, self._concurrent, self._tracks
        )
        scale = case.unknown.scale
        for earlier in naming.named_by(track, case.evidence, decision.linked_unknown, scale):
            present = self._concurrent.track(earlier.track_id)
            self._before.setdefault(earlier.track_id, present.decided)
            self._tracks[earlier.track_id] = earlier

    def _rematch(self, track_id: str) -> list[str]:
        """Decide one track; return the ids of the tracks that have to be decided after it."""
        track = self._concurrent.track(track_id)
        before = self._before.setdefault(track_id, track.decided)
        if before is None or before.status != pb.Sighting.ENDED:
            now = self._decided(track, before)
        else:
            now = self._released(track) if self._is_beaten(track) else track
        self._tracks[track_id] = now
        persons = set(map(self._concurrent.person_held_by, (track, now))) - {0}
        return [
            other.track_id
            for other in self._concurrent.neighbouring_tracks(now)
            if self._is_co_visible(now, other)
            or (other.decided.status != pb.Sighting.ENDED and persons & {*other.waits_for})
        ]

    def _decided(self, track: pb.TrackState, before: pb.Sighting | None) -> pb.TrackState:
        prior = self._prior_identity(track, before)
        case = self._case(track, prior)
        decision = case.decided(self._rules, prior, final=bool(track.ended_at_us))
        decision = self._without_fixture(track, decision)
        self._last_decision[track.track_id] = case, decision
        now = deepcopy(track)
        now.decided.CopyFrom(self._sighting(now, before, case, decision))
        self._note_claim(now, before, case, decision)
        now.face = b""
        if track.ended_at_us and not now.decided.global_id and has_frontal_face(track.shots):
            now.face = encode_embedding(case.evidence.template)
        return now

    def _without_fixture(self, track: pb.TrackState, decision: Decision) -> Decision:
        """Return the decision; of nobody for a thing at a place where nothing ever moves."""
        last = track.shots[-1]
        is_corrected = self._reference.corrections.is_corrected(track.track_id)
        if is_corrected or decision.status == "provisional" or not is_still(track):
            return decision
        fixtures = self._site.fixtures.get(last.camera_id)
        fixture = recognised_fixture(fixtures, last.motion_event_id, last.track_box)
        if fixture is None:
            return decision
        return replace(decision, status="provisional", key="", reason=reason(fixture))

    def _case(self, track: pb.TrackState, prior: PriorIdentity | None) -> Case:
        answer = self._answers.get(track.track_id)
        if answer is None:
            raise CandidatesMissing(self._query(track, prior))
        pack, evidence = track.shots[-1].pack, answer.query.evidence
        facts, target_fpir = self._reference.facts, self._rules.target_fpir
        among_enrolled = facts.scale(pack, answer.enrolled.people, target_fpir)
        among_unknown = facts.scale_of_ids(pack, answer.unknown.people, target_fpir)
        enrolled, unknown = answer.enrolled.candidates, answer.unknown.candidates
        excluded = self._choices.excluded([*enrolled, *unknown], among_enrolled.unknown_threshold)
        return Case(
            evidence,
            self._choices.choice(track, evidence, _without(enrolled, excluded), among_enrolled),
            self._choices.choice(track, evidence, _without(unknown, excluded), among_unknown),
        )

    def _query(self, track: pb.TrackState, prior: PriorIdentity | None) -> CandidateQuery:
        last = track.shots[-1]
        return CandidateQuery(
            track_id=track.track_id,
            template_id=ids.sighting_id(track.track_id, last.epoch),
            pack=last.pack,
            evidence=face_evidence(track.shots, self._reference.facts.min_agreement(last.pack)),
            always=self._always(prior),
        )

    def _always(self, prior: PriorIdentity | None) -> tuple[str, ...]:
        """Return the people whose scores are needed, however many come nearer."""
        if prior is None:
            return ()
        others = self._reference.corrections.cannot_link(self._reference.global_id_of(prior.key))
        return (prior.key, *map(self._reference.key_of, sorted(others)))

    def _sighting(
        self, track: pb.TrackState, before: pb.Sighting | None, case: Case, decision: Decision
    ) -> pb.Sighting:
        last, evidence = track.shots[-1], case.evidence
        best = next(entry for entry in track.shots if entry.observation_id == evidence.best)
        sighting = sighting_messages.sighting_of(decision, evidence.kind, last, best)
        corrections = self._reference.corrections
        person = corrections.person_of(track.track_id, self._decided_person(decision, track))
        sighting_messages.set_person(sighting, person, self._reference.enrolled_person(person))
        if corrections.is_corrected(track.track_id):
            sighting.reason = "somebody has said who it is"
        sighting.shots = evidence.count
        sighting.template = encode_embedding(evidence.template)
        sighting.gallery_revision = self._reference.enrolled.revision
        scale = case.enrolled.scale
        sighting.gallery_people, sighting.wanted_rate = scale.people, scale.target_fpir
        sighting.calibration = scale.calibration
        nearest = next(iter(self._answers[track.track_id].enrolled.candidates), None)
        if nearest is not None:  # excluded or not
            sighting.candidate = nearest.key
            sighting.candidate_score = nearest.score
        sighting.decided_at_us = max(last.captured_at_us, self._now_us)
        sighting_messages.set_status(sighting, before)
        continued_presence.note(sighting, track, self._site.tracks_of(person), self._rules)
        return sighting

    def _decided_person(self, decision: Decision, track: pb.TrackState) -> int:
        """Return the global id of a decision before corrections; 0: none yet."""
        if decision.status == "new":
            return ids.global_id(track.track_id)
        return self._reference.global_id_of(decision.key) if decision.key else 0

    def _note_claim(
        self, track: pb.TrackState, before: pb.Sighting | None, case: Case, decision: Decision
    ) -> None:
        """Note the person that the track holds against others, and those it waits for."""
        denied = {
            self._reference.global_id_of(candidate.key)
            for candidate, choice in case.candidates()
            if choice.is_claimed(candidate) and candidate.score >= choice.scale.unknown_threshold
        }
        del track.waits_for[:]
        track.waits_for.extend(sorted(denied))
        if track.decided.global_id:
            track.holds = track.decided.global_id
            # An assignment by an operator, and a person that the track itself has founded, cannot
            # be taken by better evidence.
            is_corrected = self._reference.corrections.is_corrected(track.track_id)
            is_by_score = decision.key and not is_corrected
            track.holds_by = decision.score - decision.threshold if is_by_score else math.inf
        elif (before is not None and before.global_id) or self._is_beaten(track):
            track.holds, track.holds_by = 0, 0.0
        # Else the track's new epoch is undecided: it keeps the person of the epoch before.

    def _is_beaten(self, track: pb.TrackState) -> bool:
        """Return whether a track of the same time is the same person, by better evidence."""
        return any(
            self._is_co_visible(track, other)
            and co_visibility.prevails(other.holds_by, other, track)
            for other in self._concurrent.neighbouring_tracks(track)
        )

    def _is_co_visible(self, track: pb.TrackState, other: pb.TrackState) -> bool:
        """Return whether two tracks of the same time hold one person."""
        person = self._concurrent.person_held_by(track)
        return (
            bool(person)
            and person == self._concurrent.person_held_by(other)
            and self._concurrent.co_visibility(track, other) is CoVisibility.YES
        )

    def _released(self, track: pb.TrackState) -> pb.TrackState:
        """Return an ended track without the person that another track is now known to be."""
        now = deepcopy(track)
        sighting_messages.set_person(now.decided, 0, None)
        now.decided.status = pb.Sighting.CHANGED
        now.decided.reason = "another track of the same moment was this person"
        now.decided.decided_at_us = max(track.decided.decided_at_us, self._now_us)
        now.holds, now.holds_by = 0, 0.0
        return now

    def _update_persons(
        self, track: pb.TrackState, changed: dict[int, pb.UnknownPerson | None]
    ) -> None:
        """Add the track's template to its unknown person, and take it from the others."""
        sighting = track.decided
        persons = self._site.unknown_persons
        for global_id in persons.with_track(track.track_id) - {sighting.global_id}:
            mistaken = changed.get(global_id, persons.get(global_id))
            if mistaken is not None and has_template(mistaken, sighting.sighting_id):
                changed[global_id] = without_template(mistaken, sighting.sighting_id)
        if sighting.global_id and self._reference.is_searchable(sighting.global_id):
            present = changed.get(sighting.global_id) or persons.get(sighting.global_id)
            changed[sighting.global_id] = sighting_messages.with_sighting(
                present, sighting, track.shots[-1].captured_at_us
            )

    def _prior_identity(
        self, track: pb.TrackState, before: pb.Sighting | None
    ) -> PriorIdentity | None:
        """Return the identity before this event, after corrections."""
        if before is None or not before.global_id:
            return None
        person = self._reference.corrections.person_of(track.track_id, before.global_id)
        is_founded = person == ids.global_id(track.track_id)
        return PriorIdentity(self._reference.key_of(person), is_founded)


def _without(candidates: Sequence[Candidate], excluded: set[str]) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate.key not in excluded]
