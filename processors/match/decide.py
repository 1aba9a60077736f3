"""Who is who: evidence of a track in, a decision and its reasons out. Nothing else.

What is compared is the track, not the shot: the quality-weighted mean of the shots that agree
with each other. A name needs a score that so few shots are safe at, and a clear lead over the
second best. Enrolled people come first: a stranger who has enrolled since they were met is
themselves. A new person needs several shots, and nobody who comes near.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

from sightline.identity.evidence import Evidence
from sightline.identity.scale import Scale
from sightline.runtime.settings import Settings

Kind = Literal["enrolled", "stranger"]
Status = Literal["provisional", "enrolled", "stranger", "newcomer"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody a track may be: their key, and the score of the track's template."""

    key: str
    score: float  # -1 to 1


@dataclass(frozen=True, slots=True)
class Choice:
    """The people of one kind whom a track may be."""

    candidates: Sequence[Candidate]
    """Best first: at least two where there are two, and the one held."""
    scale: Scale
    taken: frozenset[str] = frozenset()
    """Those whom another track of this camera is at the same moment."""
    awaited: frozenset[str] = frozenset()
    """Those whom a track of this camera is that may be over by now."""
    elsewhere: frozenset[str] = frozenset()
    """Those who cannot have come here so soon. It decides between two, nothing else."""

    def free(self) -> list[Candidate]:
        """Those whom no other track holds."""
        return [one for one in self.candidates if not self.is_held(one)]

    def is_held(self, one: Candidate) -> bool:
        """Whether another track is this person, or may be."""
        return one.key in self.taken or one.key in self.awaited


@dataclass(frozen=True, slots=True)
class Held:
    """The identity that was decided before on fewer shots."""

    key: str
    is_new: bool
    """A newcomer whom this very track has made known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not follow from a calibration."""

    newcomer_shots: int = 3
    """How many shots have to agree for a person whom nobody knows."""
    wanted_rate: float = 1e-3
    """Of false names for one track."""
    lost_seconds: float = 2.0
    """After so long without being seen a track is over, and it is told."""
    forget_days: float = 7.0
    """A stranger unseen for so long is forgotten."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of an installation."""
        return cls(
            newcomer_shots=settings.match.newcomer_shots,
            wanted_rate=settings.match.wanted_false_name_rate,
            lost_seconds=settings.evidence.lost_seconds,
            forget_days=settings.match.forget_days,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """Who a track is, and why."""

    status: Status
    key: str  # of an enrolled person or a stranger; empty while provisional and for a newcomer
    score: float  # that the decision rests on
    threshold: float  # that the score was held against; infinite where none is high enough
    confidence: float  # 0 to 1
    runner_up: Candidate | None  # the best of the others
    reason: str
    stranger: Candidate | None = None
    """Of an enrolled person: the stranger whom the track as safely is. The two are one."""


def decide(
    evidence: Evidence,
    enrolled: Choice,
    strangers: Choice,
    rules: Rules,
    *,
    held: Held | None = None,
    final: bool = False,
) -> Decision:
    """Who a track is.

    `held` is kept until it is contradicted. With `final` nothing more will come: enough shots
    are then decided one way or the other.
    """
    return _Case(evidence, enrolled, strangers).decided(rules, held, final)


@dataclass(frozen=True, slots=True)
class _Case:
    evidence: Evidence
    enrolled: Choice
    strangers: Choice

    @property
    def shots(self) -> int:
        return self.evidence.count

    def decided(self, rules: Rules, held: Held | None, final: bool) -> Decision:
        if best := self._recognised(self.enrolled):
            met = self._met("enrolled", best, f"{self._said()} that agree")
            return replace(met, stranger=self._recognised(self.strangers))
        if held and (best := self._kept(self.enrolled, held)):
            return self._met("enrolled", best, "not contradicted")
        if best := self._recognised(self.strangers):
            return self._met("stranger", best, f"{self._said()} that agree")
        if held and (best := self._kept(self.strangers, held)):
            return self._met("stranger", best, "not contradicted")
        if held and held.is_new and not self._is_another(self._threshold):
            return self._new("nobody else comes near")
        enough = self.shots >= rules.newcomer_shots and not (
            self._is_another(self._halfway) or (not final and self._may_be_another())
        )
        if enough and not self._comes_near():
            return self._new(f"{self._said()} agree and nobody comes near")
        if enough and final:
            return self._settled()
        return self._provisional(final)

    def _recognised(self, choice: Choice) -> Candidate | None:
        """The person whom the track safely is."""
        best = _ahead(choice)
        if best is None or best.score < self._threshold(choice):
            return None
        return best if self._keeps_up(best) else None

    def _kept(self, choice: Choice, held: Held) -> Candidate | None:
        """The person decided before, where their score is not far below now.

        Without this slack a score at the threshold would take a name back and forth.
        """
        for one in choice.free():
            if one.key == held.key and one.score >= self._halfway(choice):
                return one if self._keeps_up(one) else None
        return None

    def _keeps_up(self, best: Candidate) -> bool:
        """Whether the track is not far more like somebody who is another track.

        Such a track is a second one of that person, and the next best is a look-alike.
        """
        return all(
            one.score - best.score < choice.scale.tie
            for choice in (self.enrolled, self.strangers)
            for one in choice.candidates
            if choice.is_held(one)
        )

    def _is_another(self, near: Callable[[Choice], float]) -> bool:
        """Whether the face is that of another track of this moment, by a score that is near."""
        return any(
            choice.is_held(one)
            and one.score >= (near(choice) if self._can_name(choice) else choice.scale.newcomer)
            for choice in (self.enrolled, self.strangers)
            for one in choice.candidates
        )

    def _may_be_another(self) -> bool:
        """Whether somebody comes near whose track may be over: that will be known soon."""
        return any(
            one.score >= choice.scale.newcomer and one.key in choice.awaited
            for choice in (self.enrolled, self.strangers)
            for one in choice.candidates
        )

    def _comes_near(self) -> bool:
        return any(
            one.score >= choice.scale.newcomer
            for choice in (self.enrolled, self.strangers)
            for one in choice.free()
        )

    def _settled(self) -> Decision:
        """The last word on a track that is near to somebody and not safely them.

        It names nobody, but it was somebody: the nearest of several strangers whose scores are
        all enough, or a new one. Two ids of one person can be merged; two people under one id,
        which a lower score would lead to, spoil each other's looks.
        """
        free = self.strangers.free()
        enough = free and free[0].score >= self._threshold(self.strangers)
        if enough and self._keeps_up(free[0]):
            return self._met("stranger", free[0], "the track is over; nearest")
        return self._new(f"the track is over; {self._said()}, {self._why_not()}")

    def _met(self, status: Kind, who: Candidate, reason: str) -> Decision:
        scale = (self.enrolled if status == "enrolled" else self.strangers).scale
        others = [one for one in self._everybody() if one.key != who.key]
        return Decision(
            status=status,
            key=who.key,
            score=who.score,
            threshold=scale.threshold(self.shots),
            confidence=scale.confidence(who.score, self.shots),
            runner_up=others[0] if others else None,
            reason=reason,
        )

    def _new(self, reason: str) -> Decision:
        best = self._best()
        scale = self._scale_of(best)
        score = best.score if best else 0.0
        return Decision(
            status="newcomer",
            key="",
            score=score,
            threshold=scale.newcomer,
            confidence=1.0 - scale.confidence(score, self.shots),
            runner_up=best,
            reason=reason,
        )

    def _provisional(self, final: bool) -> Decision:
        best = self._best()
        scale = self._scale_of(best)
        score = best.score if best else 0.0
        over = "the track is over; " if final else ""
        return Decision(
            status="provisional",
            key="",
            score=score,
            threshold=scale.threshold(self.shots),
            confidence=scale.confidence(score, self.shots),
            runner_up=best,
            reason=f"{over}{self._said()}, {self._why_not()}",
        )

    def _why_not(self) -> str:
        """Why the track is nobody known."""
        best = self._best()
        choice = self._choice_of(best)
        scale = choice.scale
        if best is None or best.score < scale.newcomer:
            return "nobody comes near yet"
        if best.key in choice.taken:
            return "the face of another track of this moment"
        if best.key in choice.awaited:
            return "the face of a track that may not be over"
        if not self._can_name(choice):
            return (
                f"the calibration {scale.calibration} cannot promise {scale.wanted_rate:g} false"
                f" names for {self._said()} among {scale.people} people"
            )
        if best.score < self._threshold(choice):
            return "near to somebody, not near enough"
        return "two people come near"

    def _everybody(self) -> list[Candidate]:
        both = [*self.enrolled.candidates, *self.strangers.candidates]
        return sorted(both, key=lambda one: (-one.score, one.key))

    def _best(self) -> Candidate | None:
        return next(iter(self._everybody()), None)

    def _choice_of(self, one: Candidate | None) -> Choice:
        return self.strangers if one in self.strangers.candidates else self.enrolled

    def _scale_of(self, one: Candidate | None) -> Scale:
        return self._choice_of(one).scale

    def _can_name(self, choice: Choice) -> bool:
        return math.isfinite(self._threshold(choice))

    def _threshold(self, choice: Choice) -> float:
        return choice.scale.threshold(self.shots)

    def _halfway(self, choice: Choice) -> float:
        return (choice.scale.newcomer + self._threshold(choice)) / 2

    def _said(self) -> str:
        return f"{self.shots} shot{'s' if self.shots > 1 else ''}"


def _ahead(choice: Choice) -> Candidate | None:
    """The candidate who is clearly ahead of the others whom the track can be.

    Where the first two are close, those who cannot be here are left out.
    """
    free, lead = choice.free(), choice.scale.lead
    if not free:
        return None
    first = free[0]
    if len(free) > 1 and first.score - free[1].score < lead:
        free = [one for one in free if one.key not in choice.elsewhere]
        if not free or first.score - free[0].score >= lead:
            return None
        if len(free) > 1 and free[0].score - free[1].score < lead:
            return None
    return free[0]
