"""Who is who: evidence of a track in, a decision and its reasons out. Nothing else.

What is compared is the track, not the shot: the quality-weighted mean of the shots that agree
with each other. A name needs several of them, or a score that one shot alone reaches safely,
and a clear lead over the second best. Enrolled people come first: a stranger who has enrolled
since they were met is themselves. A new person needs several shots, and nobody who comes near.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.identity.evidence import Evidence
from sightline.vision.scores import ScoreScale

Status = Literal["provisional", "enrolled", "stranger", "newcomer"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody a track may be: their key, and the score of the track's template."""

    key: str
    score: float  # -1 to 1


@dataclass(frozen=True, slots=True)
class Held:
    """The identity that was decided before on fewer shots."""

    key: str
    is_new: bool
    """A newcomer whom this very track has made known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How many shots have to agree."""

    agreeing_shots: int  # for a name, unless the score is one that a single shot is safe at
    newcomer_shots: int  # for a person nobody knows


@dataclass(frozen=True, slots=True)
class Decision:
    """Who a track is, and why."""

    status: Status
    key: str  # of an enrolled person or a stranger; empty while provisional and for a newcomer
    score: float  # that the decision rests on
    threshold: float  # that the score was held against
    confidence: float  # 0 to 1
    runner_up: Candidate | None  # the best of the others
    reason: str


def decide(
    evidence: Evidence,
    enrolled: Sequence[Candidate],
    strangers: Sequence[Candidate],
    scale: ScoreScale,
    rules: Rules,
    *,
    held: Held | None = None,
    final: bool = False,
) -> Decision:
    """Who a track is.

    `enrolled` and `strangers` are the best candidates of each kind, best first: at least two
    where there are two, and the one held. `held` is kept until it is contradicted. With `final`
    nothing more will come: enough shots are then decided one way or the other.
    """
    everybody = sorted([*enrolled, *strangers], key=lambda one: (-one.score, one.key))
    if reason := _recognised(enrolled, evidence, scale, rules):
        return _met("enrolled", enrolled[0], everybody, scale, reason)
    if held and (kept := _kept("enrolled", held, enrolled, everybody, scale)):
        return kept
    if reason := _recognised(strangers, evidence, scale, rules):
        return _met("stranger", strangers[0], everybody, scale, reason)
    if held and (kept := _kept("stranger", held, strangers, everybody, scale)):
        return kept
    best = everybody[0] if everybody else None
    if held and held.is_new:
        return _new(best, scale, "nobody else comes near")
    if evidence.count >= rules.newcomer_shots:
        if best is None or best.score < scale.newcomer:
            return _new(best, scale, f"{evidence.count} shots agree and nobody comes near")
        if final:
            return _settled(evidence, strangers, everybody, scale)
    return _provisional(evidence, best, everybody, scale)


def _recognised(
    candidates: Sequence[Candidate], evidence: Evidence, scale: ScoreScale, rules: Rules
) -> str:
    """Why the first candidate is the person; empty where that is not safe."""
    if not candidates:
        return ""
    best = candidates[0]
    lead = best.score - (candidates[1].score if len(candidates) > 1 else -1.0)
    if lead < scale.lead:
        return ""
    if best.score >= scale.sure:
        return f"{_shots(evidence)}, safe at {scale.sure:.2f} even for one"
    if best.score >= scale.same and evidence.count >= rules.agreeing_shots:
        return f"{_shots(evidence)} that agree"
    return ""


def _kept(
    status: Status,
    held: Held,
    candidates: Sequence[Candidate],
    everybody: Sequence[Candidate],
    scale: ScoreScale,
) -> Decision | None:
    """The earlier decision, where it was for one of these whose score is not far below now.

    Without this slack a score at the threshold would take a name back and forth.
    """
    for one in candidates:
        if one.key == held.key and one.score >= _halfway(scale):
            return _met(status, one, everybody, scale, "not contradicted")
    return None


def _settled(
    evidence: Evidence,
    strangers: Sequence[Candidate],
    everybody: Sequence[Candidate],
    scale: ScoreScale,
) -> Decision:
    """The last word on a track that is near to somebody and not near enough.

    It names nobody, but it was somebody: the stranger whom it is nearer to than to nobody, or
    a new one.
    """
    if strangers and strangers[0].score >= _halfway(scale):
        return _met("stranger", strangers[0], everybody, scale, "the track is over; nearest")
    return _new(everybody[0], scale, f"the track is over; {_shots(evidence)}, none near enough")


def _met(
    status: Status,
    who: Candidate,
    everybody: Sequence[Candidate],
    scale: ScoreScale,
    reason: str,
) -> Decision:
    others = [one for one in everybody if one.key != who.key]
    return Decision(
        status=status,
        key=who.key,
        score=who.score,
        threshold=scale.same,
        confidence=scale.confidence(who.score),
        runner_up=others[0] if others else None,
        reason=reason,
    )


def _new(best: Candidate | None, scale: ScoreScale, reason: str) -> Decision:
    score = best.score if best else 0.0
    return Decision(
        status="newcomer",
        key="",
        score=score,
        threshold=scale.newcomer,
        confidence=1.0 - scale.confidence(score),
        runner_up=best,
        reason=reason,
    )


def _provisional(
    evidence: Evidence,
    best: Candidate | None,
    everybody: Sequence[Candidate],
    scale: ScoreScale,
) -> Decision:
    score = best.score if best else 0.0
    close = len(everybody) > 1 and everybody[0].score - everybody[1].score < scale.lead
    if best is None or score < scale.newcomer:
        why = "nobody comes near yet"
    elif score < scale.same:
        why = "near to somebody, not near enough"
    else:
        why = "two people come near" if close else "too few shots for this score"
    return Decision(
        status="provisional",
        key="",
        score=score,
        threshold=scale.same,
        confidence=scale.confidence(score),
        runner_up=best,
        reason=f"{_shots(evidence)}, {why}",
    )


def _halfway(scale: ScoreScale) -> float:
    return (scale.newcomer + scale.same) / 2


def _shots(evidence: Evidence) -> str:
    return f"{evidence.count} shot{'s' if evidence.count > 1 else ''}"
