"""Identification of a track: its evidence and candidates in, a decision with its reason out.

What is compared is the track, not a single observation: the quality-weighted mean of the
observations that agree with each other. A name needs a score at which so few observations are
safe, and a clear lead over the second best. Enrolled people come first: an unknown person who has
enrolled meanwhile is recognised as enrolled. A new person needs several agreeing observations, and
no candidate near.
"""

import math
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal, Self

from processors.match.candidates import Candidate
from sightline.identity.evidence import Evidence
from sightline.identity.scale import ScoreScale
from sightline.runtime.settings import Settings

TWO_PEOPLE, SEVERAL_PEOPLE = "two people come near", "several people come near"
"""Reasons of a track that is none of these. Where candidate and runner-up of its sighting are two
enrolled people it is one of them: the function `one_of` of the database goes by it."""

PersonKind = Literal["enrolled", "unknown"]
DecisionStatus = Literal["provisional", "enrolled", "unknown", "new"]


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Candidates of one population for a track, and what excludes some of them."""

    candidates: Sequence[Candidate]
    """Best first: at least two where there are two, and the prior identity."""
    scale: ScoreScale
    claimed: Set[str] = frozenset()
    """Candidates that another track of the camera is at the same time."""
    possibly_claimed: Set[str] = frozenset()
    """Candidates that a track of the camera is which may be over by now."""
    unreachable: Set[str] = frozenset()
    """Candidates who cannot have come here so soon. They lose a tie, nothing else."""

    def available(self) -> list[Candidate]:
        """Return the candidates that no other track claims."""
        return [candidate for candidate in self.candidates if not self.is_claimed(candidate)]

    def is_claimed(self, candidate: Candidate) -> bool:
        """Return whether another track is a candidate, or may be."""
        return candidate.key in self.claimed or candidate.key in self.possibly_claimed


@dataclass(frozen=True, slots=True)
class PriorIdentity:
    """Identity of a track before the present event."""

    key: str
    is_founded: bool
    """True where the track itself founded this unknown person."""


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """Settings of a decision that do not follow from a calibration."""

    min_observations: int = 3
    """Agreeing observations that a new unknown person needs."""
    target_fpir: float = 1e-3
    """Target rate of false names for one track (FPIR)."""
    lost_seconds: float = 2.0
    """Time without being seen after which vision ends a track."""
    settled_seconds: float = 300.0
    """Time within which somebody who stays has one row of the access log."""
    unknown_person_ttl_days: float = 7.0
    """Time without being seen after which an unknown person is forgotten."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules that the settings state."""
        return cls(
            min_observations=settings.match.unknown_person_observations,
            target_fpir=settings.match.target_fpir,
            lost_seconds=settings.evidence.lost_seconds,
            settled_seconds=settings.evidence.reverify_seconds,
            unknown_person_ttl_days=settings.match.unknown_person_ttl_days,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Identity of a track, and why."""

    status: DecisionStatus
    key: str  # of an enrolled or unknown person; empty while provisional and for a new one
    score: float  # that the decision rests on
    threshold: float  # of the score; infinite where no score is high enough
    confidence: float  # 0 to 1
    runner_up: Candidate | None  # the best of the others
    reason: str
    linked_unknown: Candidate | None = None
    """Unknown person whom the track of an enrolled person is as safely. The two are one."""


def decide(
    evidence: Evidence,
    enrolled: CandidateSet,
    unknown: CandidateSet,
    rules: DecisionRules,
    *,
    prior: PriorIdentity | None = None,
    final: bool = False,
) -> Decision:
    """Decide the identity of a track.

    Args:
        evidence: Template of the track (d,).
        enrolled: Candidates among the enrolled people.
        unknown: Candidates among the unknown persons.
        rules: Settings of the decision.
        prior: Identity so far, kept until it is contradicted.
        final: True for a track that is over: enough observations are then decided either way.
    """
    return Case(evidence, enrolled, unknown).decided(rules, prior, final)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Evidence of a track and its candidates."""

    evidence: Evidence
    enrolled: CandidateSet
    unknown: CandidateSet

    @property
    def observations(self) -> int:
        """Number of observations that agree with each other."""
        return self.evidence.count

    def candidates(self) -> Iterator[tuple[Candidate, CandidateSet]]:
        """Yield every candidate with the choice that it is part of."""
        for choice in (self.enrolled, self.unknown):
            for candidate in choice.candidates:
                yield candidate, choice

    def decided(self, rules: DecisionRules, prior: PriorIdentity | None, final: bool) -> Decision:
        """Decide the identity of the track; see `decide`."""
        if best := self._recognised(self.enrolled):
            decision = self._identified("enrolled", best, f"{self._counted()} that agree")
            return replace(decision, linked_unknown=self._recognised(self.unknown))
        if prior and (best := self._retained(self.enrolled, prior)):
            return self._identified("enrolled", best, "not contradicted")
        if prior is None and (tied := self._tied()):
            return self._undecided_between(tied, final)
        if best := self._recognised(self.unknown):
            return self._identified("unknown", best, f"{self._counted()} that agree")
        if prior and (best := self._retained(self.unknown, prior)):
            return self._identified("unknown", best, "not contradicted")
        if prior and prior.is_founded and not self._is_claimed_person(self._threshold):
            return self._new("no other person comes near")
        is_enough = self.observations >= rules.min_observations and not (
            self._is_claimed_person(self._halfway)
            or (not final and self._is_possibly_claimed_person())
        )
        if is_enough and not self._is_near_a_person():
            return self._new(f"{self._counted()} agree and no person comes near")
        return self._concluded() if is_enough and final else self._provisional(final)

    def _recognised(self, choice: CandidateSet) -> Candidate | None:
        """Return the candidate that the track safely is."""
        best = _leading(choice)
        if best is None or best.score < self._threshold(choice):
            return None
        return best if self._is_no_double(best) else None

    def _tied(self) -> list[Candidate]:
        """Return the enrolled people whom the track fits so alike that none of them leads.

        Empty where one leads or none is safe. The first is the nearest.
        """
        choice = self.enrolled
        available = choice.available()
        if not available or available[0].score < self._threshold(choice):
            return []
        if _leading(choice) is not None or not self._is_no_double(available[0]):
            return []
        lowest = available[0].score - choice.scale.lead
        tied = [candidate for candidate in available if candidate.score > lowest]
        reachable = [candidate for candidate in tied if candidate.key not in choice.unreachable]
        tied = reachable if len(reachable) > 1 else tied
        return tied if len(tied) > 1 else []

    def _undecided_between(self, tied: Sequence[Candidate], final: bool) -> Decision:
        """Decide for none of several enrolled people, such as twins, whom the track fits alike.

        The track founds no unknown person, of whom templates of one of them would be kept, and who
        would be merged into whichever is recognised later. Readers say the names from the ids.
        """
        over = "the track is over; " if final else ""
        people = SEVERAL_PEOPLE if len(tied) > 2 else TWO_PEOPLE
        undecided = self._unidentified("provisional", f"{over}{self._counted()}, {people}")
        return replace(undecided, runner_up=tied[1])

    def _retained(self, choice: CandidateSet, prior: PriorIdentity) -> Candidate | None:
        """Return the prior identity, unless it is contradicted.

        It is kept down to half way between `newcomer` and the threshold: scores scatter, and a
        score near the threshold would take a name back and forth.
        """
        for candidate in choice.available():
            if candidate.key == prior.key and candidate.score >= self._halfway(choice):
                return candidate if self._is_no_double(candidate) else None
        return None

    def _is_no_double(self, best: Candidate) -> bool:
        """Return whether the track is not far more like a person who is another track.

        Such a track is a second one of that person, and the next best is a look-alike.
        """
        return all(
            candidate.score - best.score < choice.scale.tie
            for candidate, choice in self.candidates()
            if choice.is_claimed(candidate)
        )

    def _is_claimed_person(self, limit: Callable[[CandidateSet], float]) -> bool:
        """Return whether the face is that of another track of the same time, by a score limit."""
        return any(
            choice.is_claimed(candidate)
            and candidate.score
            >= (limit(choice) if self._can_name(choice) else choice.scale.unknown_threshold)
            for candidate, choice in self.candidates()
        )

    def _is_possibly_claimed_person(self) -> bool:
        """Return whether a candidate is near whose track may be over: that is known soon."""
        return any(
            candidate.score >= choice.scale.unknown_threshold
            and candidate.key in choice.possibly_claimed
            for candidate, choice in self.candidates()
        )

    def _is_near_a_person(self) -> bool:
        return any(
            candidate.score >= choice.scale.unknown_threshold and not choice.is_claimed(candidate)
            for candidate, choice in self.candidates()
        )

    def _concluded(self) -> Decision:
        """Decide a track that is over, near to a candidate and not safely that person.

        It names no enrolled person. It is the nearest of several unknown persons whose scores are
        all enough, or a new one. Two ids of one person can be merged; two people under one id,
        which a lower score would lead to, spoil each other's templates.
        """
        available = self.unknown.available()
        is_enough = available and available[0].score >= self._threshold(self.unknown)
        if is_enough and self._is_no_double(available[0]):
            return self._identified("unknown", available[0], "the track is over; nearest")
        return self._new(f"the track is over; {self._counted()}, {self._obstacle()}")

    def _identified(self, kind: PersonKind, person: Candidate, reason: str) -> Decision:
        scale = (self.enrolled if kind == "enrolled" else self.unknown).scale
        others = [candidate for candidate in self._all_candidates() if candidate.key != person.key]
        return Decision(
            status=kind,
            key=person.key,
            score=person.score,
            threshold=scale.threshold(self.observations),
            confidence=scale.confidence(person.score, self.observations),
            runner_up=others[0] if others else None,
            reason=reason,
        )

    def _new(self, reason: str) -> Decision:
        nearest = self._unidentified("new", reason)
        threshold = self._choice_of(nearest.runner_up).scale.unknown_threshold
        return replace(nearest, threshold=threshold, confidence=1.0 - nearest.confidence)

    def _provisional(self, final: bool) -> Decision:
        over = "the track is over; " if final else ""
        return self._unidentified("provisional", f"{over}{self._counted()}, {self._obstacle()}")

    def _unidentified(self, status: DecisionStatus, reason: str) -> Decision:
        """Return a decision for no candidate, with score and confidence of the nearest one."""
        best = self._best()
        scale = self._choice_of(best).scale
        score = best.score if best else 0.0
        return Decision(
            status=status,
            key="",
            score=score,
            threshold=scale.threshold(self.observations),
            confidence=scale.confidence(score, self.observations),
            runner_up=best,
            reason=reason,
        )

    def _obstacle(self) -> str:
        """Return the reason why the track is no person of the galleries, in words."""
        best = self._best()
        choice = self._choice_of(best)
        scale = choice.scale
        if best is None or best.score < scale.unknown_threshold:
            return "no person comes near yet"
        if best.key in choice.claimed:
            return "the face of another track of this moment"
        if best.key in choice.possibly_claimed:
            return "the face of a track that may not be over"
        if not self._can_name(choice):
            return (
                f"the calibration {scale.calibration} cannot promise {scale.target_fpir:g} false"
                f" names for {self._counted()} among {scale.people} people"
            )
        if best.score < self._threshold(choice):
            return "near to somebody, not near enough"
        return TWO_PEOPLE

    def _all_candidates(self) -> list[Candidate]:
        both = [*self.enrolled.candidates, *self.unknown.candidates]
        return sorted(both, key=lambda candidate: (-candidate.score, candidate.key))

    def _best(self) -> Candidate | None:
        return next(iter(self._all_candidates()), None)

    def _choice_of(self, candidate: Candidate | None) -> CandidateSet:
        return self.unknown if candidate in self.unknown.candidates else self.enrolled

    def _can_name(self, choice: CandidateSet) -> bool:
        return math.isfinite(self._threshold(choice))

    def _threshold(self, choice: CandidateSet) -> float:
        return choice.scale.threshold(self.observations)

    def _halfway(self, choice: CandidateSet) -> float:
        return (choice.scale.unknown_threshold + self._threshold(choice)) / 2

    def _counted(self) -> str:
        return f"{self.observations} observation{'s' if self.observations > 1 else ''}"


def _leading(choice: CandidateSet) -> Candidate | None:
    """Return the available candidate with a clear lead over the others.

    Where the first two are close, unreachable candidates are left out.
    """
    available, lead = choice.available(), choice.scale.lead
    if not available:
        return None
    first = available[0]
    if len(available) > 1 and first.score - available[1].score < lead:
        available = [
            candidate for candidate in available if candidate.key not in choice.unreachable
        ]
        if not available or first.score - available[0].score >= lead:
            return None
        if len(available) > 1 and available[0].score - available[1].score < lead:
            return None
    return available[0]
