"""One event's decisions: the track that it is about, and those beside it that this changes.

No two tracks of a camera are one person at one moment. Who has the better evidence is the
person; the other is decided without them. When that one lets go of them, or is over, those that
were near to the same person are decided again at once.
"""

import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from processors.match import rivals, sighting
from processors.match.decide import Candidate, Choice, Decision, Held, Rules, decide
from processors.match.known import Known
from processors.match.lookback import LookBack
from processors.match.moment import Moment
from processors.match.rivals import Together
from processors.match.state import SiteState
from processors.match.strangers import has_template, without_template
from processors.match.vectors import bytes_of, vector_of
from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Evidence, Shot, combine
from sightline.identity.scale import Scale
from sightline.models.interface import MIN_FRONTALITY

_TIMES = 2
"""A track is decided with one event at most so often: once by itself, once by what that led to."""


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A track's evidence and who comes near to it."""

    evidence: Evidence
    enrolled: Choice
    strangers: Choice
    nearest: Candidate | None  # of the enrolled, whatever else is known

    def choices(self) -> Iterator[tuple[Candidate, Choice]]:
        """Everybody, each with the others of their kind."""
        for choice in (self.enrolled, self.strangers):
            for one in choice.candidates:
                yield one, choice


class Turn:
    """Decisions at one moment; nothing is changed but what it returns."""

    def __init__(self, site: SiteState, known: Known, rules: Rules, now_us: int) -> None:
        self._site = site
        self._known = known
        self._rules = rules
        self._now_us = now_us
        self._before: dict[str, pb.Sighting | None] = {}
        self._tracks: dict[str, pb.TrackState] = {}
        self._moment = Moment(site, known, self._tracks, now_us, rules.lost_seconds)
        # By what each track was decided last.
        self._decision: dict[str, tuple[_Search, Decision]] = {}

    def decide(self, track: pb.TrackState, before: pb.Sighting | None) -> None:
        """Decide a track, with the sighting before this event, and whoever that concerns."""
        self._before[track.track_id] = before
        self._tracks[track.track_id] = track
        waiting = deque([track.track_id])
        times: Counter[str] = Counter()
        while waiting:
            track_id = waiting.popleft()
            times[track_id] += 1
            if times[track_id] <= _TIMES:
                waiting.extend(self._decide_again(track_id))
        self._look_back(self._tracks[track.track_id])

    def decided(self) -> dict[str, tuple[pb.Sighting | None, pb.TrackState]]:
        """By track the sighting before this event and the track as it is now; the event's own is
        the last."""
        own, *others = self._tracks
        return {one: (self._before[one], self._tracks[one]) for one in (*others, own)}

    def learned(self) -> dict[int, pb.UnknownPerson | None]:
        """The strangers whom these decisions change."""
        changed: dict[int, pb.UnknownPerson | None] = {}
        for before, track in self.decided().values():
            if track.ended_at_us or sighting.is_news(before, track.decided):
                self._learn(track, changed)
        return changed

    def _look_back(self, track: pb.TrackState) -> None:
        """Name tracks that were over before this one, which has just ended as somebody."""
        if not track.ended_at_us or not track.decided.global_id:
            return
        if self._known.overlay.is_corrected(track.track_id):
            return
        search, decision = self._decision[track.track_id]
        back = LookBack(self._site, self._known, self._rules, self._moment, self._tracks)
        scale = search.strangers.scale
        for earlier in back.named_by(track, search.evidence, decision.stranger, scale):
            self._before.setdefault(earlier.track_id, self._moment.track(earlier.track_id).decided)
            self._tracks[earlier.track_id] = earlier

    def _decide_again(self, track_id: str) -> list[str]:
        """Decide one track; those that have to be decided after it."""
        was = self._moment.track(track_id)
        before = self._before.setdefault(track_id, was.decided)
        if before is None or before.status != pb.Sighting.ENDED:
            now = self._decided(was, before)
        else:
            now = self._let_go(was) if self._is_beaten(was) else was
        self._tracks[track_id] = now
        concerned = {self._moment.holds(was), self._moment.holds(now)} - {0}
        return [
            other.track_id
            for other in self._moment.beside(now)
            if self._is_rival(now, other)
            or (other.decided.status != pb.Sighting.ENDED and concerned & {*other.waits_for})
        ]

    def _decided(self, was: pb.TrackState, before: pb.Sighting | None) -> pb.TrackState:
        held = self._held(was, before)
        search = self._search(was, held)
        decision = decide(
            search.evidence, search.enrolled, search.strangers, self._rules,
            held=held, final=bool(was.ended_at_us),
        )  # fmt: skip
        self._decision[was.track_id] = search, decision
        now = pb.TrackState()
        now.CopyFrom(was)
        now.decided.CopyFrom(self._sighting(now, before, search, decision))
        self._note_claim(now, before, search, decision)
        now.face = b""
        if was.ended_at_us and not now.decided.global_id and _is_facing(was.shots):
            now.face = bytes_of(search.evidence.template)
        return now

    def _search(self, track: pb.TrackState, held: Held | None) -> _Search:
        pack = track.shots[-1].pack
        facts, gallery, strangers = self._known.facts, self._known.gallery, self._site.strangers
        wanted = self._rules.wanted_rate
        among_enrolled = facts.scale(pack, gallery.people(pack), wanted)
        among_strangers = facts.scale_of_ids(pack, strangers.people(pack), wanted)
        for dimension in (gallery.dimension(pack), strangers.dimension(pack)):
            vector_of(track.shots[-1].embedding, dimension)
        evidence = combine(
            [Shot(one.observation_id, vector_of(one.embedding), one.quality.overall)
             for one in _facing(track.shots)],
            among_enrolled.agree,
        )  # fmt: skip
        also = self._asked_about(held)
        own = track.track_id, ids.sighting_id(track.track_id, track.shots[-1].epoch)
        enrolled = gallery.nearest(pack, evidence.template, also)
        met = strangers.nearest(pack, evidence.template, without=own, also=also)
        nearest = next(iter(enrolled), None)
        barred = self._barred([*enrolled, *met], among_enrolled.newcomer)
        return _Search(
            evidence,
            self._choice(track, evidence, [one for one in enrolled if one.key not in barred],
                         among_enrolled),
            self._choice(track, evidence, [one for one in met if one.key not in barred],
                         among_strangers),
            nearest,
        )  # fmt: skip

    def _asked_about(self, held: Held | None) -> list[str]:
        """Whose scores are wanted however many come nearer."""
        if held is None:
            return []
        apart = self._known.overlay.apart(self._known.global_id_of(held.key))
        return [held.key, *map(self._known.key_of, sorted(apart))]

    def _barred(self, candidates: Sequence[Candidate], near: float) -> set[str]:
        """Who cannot be meant, because somebody comes nearer who is said to be another than they.

        That is what "this was not that person" teaches.
        """
        barred: set[str] = set()
        for one in sorted(candidates, key=lambda one: (-one.score, one.key)):
            if one.key not in barred and one.score >= near:
                apart = self._known.overlay.apart(self._known.global_id_of(one.key))
                barred |= {self._known.key_of(other) for other in apart}
                barred.discard(one.key)
        return barred & {one.key for one in candidates}

    def _choice(
        self, track: pb.TrackState, evidence: Evidence, candidates: list[Candidate], scale: Scale
    ) -> Choice:
        """The candidates of one kind, with what is known of where they are at this moment."""
        near = {
            self._known.global_id_of(one.key): one
            for one in candidates
            if one.score >= min(scale.newcomer, scale.threshold(evidence.count))
        }
        taken: set[str] = set()
        awaited: set[str] = set()
        for other in self._moment.beside(track):
            one = near.get(self._moment.holds(other))
            if one is None:
                continue
            together = self._moment.together(track, other)
            if together is Together.MAYBE:
                awaited.add(one.key)
            elif together is Together.YES:
                margin = one.score - scale.threshold(evidence.count)
                if not rivals.prevails(margin, track, other):
                    taken.add(one.key)
        elsewhere = {one.key for person, one in near.items() if self._is_elsewhere(track, person)}
        return Choice(candidates, scale, frozenset(taken), frozenset(awaited), frozenset(elsewhere))

    def _is_elsewhere(self, track: pb.TrackState, person: int) -> bool:
        """Whether somebody was on another camera too shortly before or after to be here."""
        here = track.shots[-1].camera_id
        return any(
            rivals.gap_us(track, other)
            < self._known.facts.walking_us(here, other.shots[-1].camera_id)
            for other in self._site.tracks_of(person)
            if other.shots[-1].camera_id != here
        )

    def _sighting(
        self, track: pb.TrackState, before: pb.Sighting | None, search: _Search, decision: Decision
    ) -> pb.Sighting:
        last = track.shots[-1]
        best = next(one for one in track.shots if one.observation_id == search.evidence.best)
        said = sighting.of(decision, last, best)
        person = self._known.overlay.who(track.track_id, self._meant(decision, track))
        sighting.name(said, person, self._known.enrolled(person))
        if self._known.overlay.is_corrected(track.track_id):
            said.reason = "somebody has said who it is"
        said.shots = search.evidence.count
        said.template = bytes_of(search.evidence.template)
        said.gallery_revision = self._known.gallery.revision
        scale = search.enrolled.scale
        said.gallery_people, said.wanted_rate = scale.people, scale.wanted_rate
        said.calibration = scale.calibration
        if search.nearest is not None:
            said.candidate = search.nearest.key
            said.candidate_score = search.nearest.score
        said.decided_at_us = max(last.captured_at_us, self._now_us)
        sighting.set_status(said, before)
        return said

    def _meant(self, decision: Decision, track: pb.TrackState) -> int:
        """The global id that a decision means, before corrections; 0: nobody yet."""
        if decision.status == "newcomer":
            return ids.global_id(track.track_id)
        return self._known.global_id_of(decision.key) if decision.key else 0

    def _note_claim(
        self, track: pb.TrackState, before: pb.Sighting | None, search: _Search, decision: Decision
    ) -> None:
        """Note whom the track holds against others, and for whom it waits."""
        denied = {
            self._known.global_id_of(one.key)
            for one, choice in search.choices()
            if choice.is_held(one) and one.score >= choice.scale.newcomer
        }
        del track.waits_for[:]
        track.waits_for.extend(sorted(denied))
        if track.decided.global_id:
            track.holds = track.decided.global_id
            # What people have said, and whom the track itself has made known, nobody can take.
            by_score = decision.key and not self._known.overlay.is_corrected(track.track_id)
            track.holds_by = decision.score - decision.threshold if by_score else math.inf
        elif (before is not None and before.global_id) or self._is_beaten(track):
            track.holds, track.holds_by = 0, 0.0
        # Else the track's new epoch is not decided yet: it still is who it was in the last.

    def _is_beaten(self, track: pb.TrackState) -> bool:
        """Whether another track of the moment is the same person, and by better evidence."""
        return any(
            self._is_rival(track, other) and rivals.prevails(other.holds_by, other, track)
            for other in self._moment.beside(track)
        )

    def _is_rival(self, track: pb.TrackState, other: pb.TrackState) -> bool:
        """Whether two tracks of one moment are one person."""
        person = self._moment.holds(track)
        return (
            bool(person)
            and person == self._moment.holds(other)
            and self._moment.together(track, other) is Together.YES
        )

    def _let_go(self, track: pb.TrackState) -> pb.TrackState:
        """A track that is over, without the identity that another one is now known to have."""
        now = pb.TrackState()
        now.CopyFrom(track)
        sighting.name(now.decided, 0, None)
        now.decided.status = pb.Sighting.CHANGED
        now.decided.reason = "another track of the same moment was this person"
        now.decided.decided_at_us = max(track.decided.decided_at_us, self._now_us)
        now.holds, now.holds_by = 0, 0.0
        return now

    def _learn(self, track: pb.TrackState, changed: dict[int, pb.UnknownPerson | None]) -> None:
        """What strangers learn of a track: one was seen, and another was somebody else."""
        said = track.decided
        strangers = self._site.strangers
        for global_id in strangers.kept_with(track.track_id) - {said.global_id}:
            mistaken = changed.get(global_id, strangers.get(global_id))
            if mistaken is not None and has_template(mistaken, said.sighting_id):
                changed[global_id] = without_template(mistaken, said.sighting_id)
        if said.global_id and self._known.is_compared(said.global_id):
            known = changed.get(said.global_id) or strangers.get(said.global_id)
            changed[said.global_id] = sighting.seen(known, said, track.shots[-1].captured_at_us)

    def _held(self, track: pb.TrackState, before: pb.Sighting | None) -> Held | None:
        """The identity before this event, as corrections have it."""
        if before is None or not before.global_id:
            return None
        person = self._known.overlay.who(track.track_id, before.global_id)
        return Held(self._known.key_of(person), is_new=person == ids.global_id(track.track_id))


def _facing(shots: Sequence[pb.FaceObservation]) -> Sequence[pb.FaceObservation]:
    """The shots of a face that looks this way; where there is none, those turned away: they show
    who somebody may be, but what is known of scores was measured on faces that look this way.
    """
    return [one for one in shots if one.quality.frontality >= MIN_FRONTALITY] or shots


def _is_facing(shots: Sequence[pb.FaceObservation]) -> bool:
    return any(one.quality.frontality >= MIN_FRONTALITY for one in shots)
