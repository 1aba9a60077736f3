"""Who is who, decided on numbers: the rules, and what must hold for any evidence."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.match.candidates import Candidate
from processors.match.decision.identification import (
    CandidateSet,
    Decision,
    DecisionRules,
    PriorIdentity,
    decide,
)
from sightline.identity.calibration import builtin_calibration
from sightline.identity.evidence import Observation, combine
from sightline.identity.scale import ScoreScale
from tests.match_support import face, shot_of

SCALE = ScoreScale(
    name_thresholds=(0.60, 0.55, 0.50), unknown_threshold=0.38, lead=0.06, tie=0.06,
    min_agreement=0.44, calibration="numbers", target_fpir=1e-3, people=15,
)  # fmt: skip
NO_PROMISE = replace(SCALE, name_thresholds=(math.inf,))
RULES = DecisionRules(min_observations=3)


def shots(count: int, person: int = 1, quality: float = 0.8) -> list[Observation]:
    return [
        Observation(f"{number:02}", shot_of(person, number), quality) for number in range(count)
    ]


def choice(scores: dict[str, float] | None, scale: ScoreScale = SCALE, **more: str) -> CandidateSet:
    """Candidates by score; `more` names some of them by one-letter keys."""
    candidates = [Candidate(key, score) for key, score in (scores or {}).items()]
    sets = {name: frozenset(keys.split()) for name, keys in more.items()}
    return CandidateSet(
        sorted(candidates, key=lambda candidate: (-candidate.score, candidate.key)), scale, **sets
    )


def decided(
    enrolled: dict[str, float] | CandidateSet | None = None,
    unknown: dict[str, float] | CandidateSet | None = None,
    count: int = 3,
    **more: Any,
) -> Decision:
    evidence = combine(shots(count), SCALE.min_agreement)
    assert evidence.count == count
    enrolled_choice, unknown_choice = (
        population if isinstance(population, CandidateSet) else choice(population)
        for population in (enrolled, unknown)
    )
    return decide(evidence, enrolled_choice, unknown_choice, RULES, **more)


def test_the_more_shots_agree_the_less_score_a_name_needs() -> None:
    assert decided({"ann": 0.60}, count=1).status == "enrolled"
    assert decided({"ann": 0.59}, count=1).status == "provisional"
    assert decided({"ann": 0.55}, count=2).status == "enrolled"
    assert decided({"ann": 0.50}, count=3).status == "enrolled"
    assert decided({"ann": 0.49}, count=5).status == "provisional"


def test_a_decision_says_what_it_was_held_against() -> None:
    named = decided({"ann": 0.55, "bea": 0.1}, count=2)
    assert (named.score, named.threshold, named.runner_up) == (0.55, 0.55, Candidate("bea", 0.1))
    assert named.confidence == pytest.approx(0.9)
    assert "2 observations" in named.reason
    open_still = decided({"ann": 0.45}, count=2)
    assert (open_still.score, open_still.threshold) == (0.45, 0.55)


def test_where_the_rate_cannot_be_promised_nobody_is_named_and_it_is_said() -> None:
    sure = choice({"ann": 0.99}, NO_PROMISE)
    for final in (False, True):
        decision = decided(sure, final=final, count=5)
        assert decision.status == ("new" if final else "provisional")
        assert "numbers cannot promise 0.001 false names" in decision.reason
        assert "15 people" in decision.reason
    assert decided(sure, prior=PriorIdentity("ann", is_founded=False)).status == "provisional"
    assert decided(choice({"ann": 0.3}, NO_PROMISE)).status == "new"


def test_a_name_needs_a_lead_over_the_second() -> None:
    close = decided({"ann": 0.70, "bea": 0.65})
    assert (close.status, close.reason) == ("provisional", "3 observations, two people come near")
    named = decided({"ann": 0.70, "bea": 0.63})
    assert (named.key, named.runner_up) == ("ann", Candidate("bea", 0.63))


def test_dlib_takes_four_times_the_measured_lead() -> None:
    """Look-alikes of one group are nearer to each other than its portraits show."""
    scale = builtin_calibration("dlib").scale(40, 1e-3)
    assert scale.lead == pytest.approx(0.022, abs=0.001)
    best = scale.threshold(3) + 0.01
    close = decided(choice({"ann": best, "bea": best - 0.0215}, scale))
    assert (close.status, close.reason) == ("provisional", "3 observations, two people come near")
    named = decided(choice({"ann": best, "bea": best - 0.023}, scale))
    assert named.key == "ann"


def test_a_larger_lead_names_no_look_alike_of_somebody_who_is_another_track() -> None:
    """A second track of one person stays nobody, however large the lead that a name takes."""
    scale = replace(SCALE, lead=0.24)
    near = choice({"ann": 0.70, "bea": 0.62}, scale, claimed="ann")
    assert decided(near).status == "provisional"


def test_of_two_who_come_near_the_one_who_cannot_be_here_loses() -> None:
    both = {"ann": 0.70, "bea": 0.66, "cid": 0.3}
    assert decided(choice(both, unreachable="bea")).key == "ann"
    assert decided(choice(both, unreachable="ann")).key == "bea"
    assert decided(choice(both, unreachable="ann bea")).status == "provisional"
    assert decided(choice(both | {"cid": 0.65}, unreachable="ann")).status == "provisional"


def test_where_somebody_can_be_names_and_refuses_nobody_alone() -> None:
    low = choice({"ann": 0.53, "bea": 0.49}, unreachable="ann")
    assert decided(low).status == "provisional", "the other one's score is not enough"
    assert decided(choice({"ann": 0.70, "bea": 0.6}, unreachable="ann")).key == "ann"
    assert decided(choice({"ann": 0.70}, unreachable="ann")).key == "ann"


def test_enrolled_people_come_before_the_strangers_they_were() -> None:
    named = decided({"ann": 0.55}, {"7": 0.95})
    assert (named.status, named.key) == ("enrolled", "ann")


def test_a_stranger_is_recognised_by_the_same_rule() -> None:
    assert decided(unknown={"7": 0.55}).key == "7"
    assert decided(unknown={"7": 0.55, "8": 0.52}).status == "provisional"
    assert decided(unknown={"7": 0.54}, count=2).status == "provisional"


def test_each_kind_has_the_threshold_of_its_own_number() -> None:
    many = replace(SCALE, name_thresholds=(0.9,), people=100_000)
    assert decided(choice({"ann": 0.7}, many), {"7": 0.6}).key == "7"
    assert decided({"ann": 0.55}, choice({"7": 0.85}, many)).key == "ann"


def test_a_newcomer_needs_agreeing_shots_and_nobody_near() -> None:
    assert decided().status == "new"
    assert decided(count=2).status == "provisional"
    assert decided({"ann": 0.37}, {"7": 0.2}).status == "new"
    near = decided({"ann": 0.45})
    assert (near.status, near.runner_up) == ("provisional", Candidate("ann", 0.45))


def test_the_end_of_a_track_decides_what_was_open_and_names_nobody() -> None:
    assert decided({"ann": 0.49}, final=True).status == "new"
    assert decided(unknown={"7": 0.49}, final=True).status == "new"
    assert decided(unknown={"7": 0.55, "8": 0.52}, final=True).key == "7"
    assert decided({"ann": 0.45}, count=2, final=True).status == "provisional"


def test_what_was_decided_is_kept_until_it_is_contradicted() -> None:
    ann = PriorIdentity("ann", is_founded=False)
    assert decided({"ann": 0.47}, prior=ann).key == "ann"
    assert decided({"ann": 0.40}, prior=ann).status == "provisional"
    assert decided({"ann": 0.47, "bea": 0.58}, prior=ann).key == "bea"
    assert decided(prior=ann).status == "new", "a person who was removed is not kept"
    new = PriorIdentity("7", is_founded=True)
    assert decided({"ann": 0.45}, prior=new).status == "new"
    assert decided({"ann": 0.55}, prior=new).key == "ann"


def test_nobody_is_a_person_whom_another_track_is() -> None:
    twice = decided(choice({"ann": 0.8, "bea": 0.6}, claimed="ann"))
    assert (twice.status, twice.reason) == (
        "provisional", "3 observations, the face of another track of this moment"
    )  # fmt: skip
    assert decided(choice({"ann": 0.8}, claimed="ann"), final=True).status == "provisional"
    assert decided(choice({"ann": 0.62, "bea": 0.6}, claimed="ann")).key == "bea", "it may be both"
    assert decided(choice({"ann": 0.42}, claimed="ann")).status == "new", "it surely is not Ann"
    held = PriorIdentity("ann", is_founded=False)
    assert decided(choice({"ann": 0.8}, claimed="ann"), prior=held).status == "provisional"
    assert decided(choice({"ann": 0.8}, claimed="ann"), {"7": 0.6}).status == "provisional"
    new = PriorIdentity("9", is_founded=True)
    assert decided(choice({"ann": 0.8}, claimed="ann"), prior=new).status == "provisional"
    assert decided(choice({"ann": 0.45}, claimed="ann"), prior=new).status == "new"


def test_it_waits_for_a_track_that_may_be_over() -> None:
    waiting = choice({"ann": 0.8}, possibly_claimed="ann")
    assert decided(waiting).reason == "3 observations, the face of a track that may not be over"
    assert decided(waiting, final=True).status == "provisional"
    alike = choice({"ann": 0.42}, possibly_claimed="ann")
    assert decided(alike).status == "provisional"
    assert decided(alike, final=True).status == "new"
    assert decided(choice({"ann": 0.2}, possibly_claimed="ann")).status == "new"


def test_shots_that_do_not_agree_are_left_out() -> None:
    strange = Observation("x", shot_of(2, 0), 1.0)
    evidence = combine([*shots(3), strange], SCALE.min_agreement)
    assert evidence.observation_ids == ("00", "01", "02")
    assert float(evidence.template @ face(1)) > 0.9
    assert abs(float(evidence.template @ face(2))) < 0.1


def test_better_shots_weigh_more() -> None:
    good, bad = (
        Observation("a", shot_of(1, 1, likeness=0.9), 1.0),
        Observation("b", shot_of(1, 2), 0.1),
    )
    evidence = combine([good, bad], SCALE.min_agreement)
    assert evidence.best == "a"
    assert evidence.template @ good.embedding > evidence.template @ bad.embedding


scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), max_size=6)


keys = st.frozensets(st.sampled_from("abcdefgh"))


@given(scores, scores, st.integers(1, 6), st.booleans(), keys, keys, keys)
def test_nobody_is_ever_named_below_the_threshold_or_without_a_lead(
    enrolled: dict[str, float],
    unknown: dict[str, float],
    count: int,
    final: bool,
    claimed: frozenset[str],
    possibly_claimed: frozenset[str],
    unreachable: frozenset[str],
) -> None:
    unknown = {str(ord(key)): score for key, score in unknown.items()}
    people = replace(
        choice(enrolled), claimed=claimed, possibly_claimed=possibly_claimed,
        unreachable=unreachable,
    )  # fmt: skip
    decision = decided(people, unknown, count, final=final)
    assert 0 <= decision.confidence <= 1
    if decision.status == "enrolled":
        assert decision.key not in claimed | possibly_claimed
        assert decision.score == enrolled[decision.key] >= SCALE.threshold(count)
        others = [score for key, score in enrolled.items() if key != decision.key]
        ahead = decision.score - max(others, default=-1)
        assert ahead >= SCALE.lead or claimed | possibly_claimed | unreachable
    if decision.status == "new":
        assert count >= RULES.min_observations
        held = {key: score for key, score in enrolled.items() if key in claimed | possibly_claimed}
        free = [score for key, score in enrolled.items() if key not in held]
        assert final or max([*free, *unknown.values()], default=-1) < SCALE.unknown_threshold
        assert max(held.values(), default=-1) < SCALE.threshold(count)


@given(scores, st.floats(-1, 0.49), st.integers(1, 6))
def test_more_people_below_the_threshold_never_make_a_name(
    enrolled: dict[str, float], score: float, count: int
) -> None:
    before = decided(enrolled, count=count)
    after = decided(enrolled | {"z": score}, count=count)
    if before.status != "enrolled":
        assert after.status != "enrolled"
    else:
        assert (after.status, after.key) in {("enrolled", before.key), ("provisional", "")}


@given(st.permutations(range(7)), st.integers(0, 3))
def test_the_order_of_shots_does_not_matter(order: list[int], strange: int) -> None:
    observations = [
        Observation(f"{number}", shot_of(2 if number < strange else 1, number), 0.3 + number / 10)
        for number in range(7)
    ]
    straight = combine(observations, SCALE.min_agreement)
    mixed = combine([observations[number] for number in order], SCALE.min_agreement)
    assert mixed.observation_ids == straight.observation_ids
    assert mixed.best == straight.best
    np.testing.assert_array_equal(mixed.template, straight.template)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**31))
def test_a_template_is_one_long_whatever_the_shots(people: list[int], seed: int) -> None:
    observations = [
        Observation(str(rank), shot_of(person, rank + seed), 0.5)
        for rank, person in enumerate(people)
    ]
    evidence = combine(observations, SCALE.min_agreement)
    assert np.linalg.norm(evidence.template) == pytest.approx(1, abs=1e-5)
    assert 1 <= evidence.count <= len(observations)
    assert evidence.best in evidence.observation_ids
