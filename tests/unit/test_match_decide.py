"""Who is who, decided on numbers: the rules, and what must hold for any evidence."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.match.decide import Candidate, Decision, Held, Rules, decide
from sightline.identity.evidence import Shot, combine
from sightline.vision.scores import ScoreScale
from tests.match_support import face, shot_of

SCALE = ScoreScale(same=0.50, sure=0.60, newcomer=0.38, lead=0.06)
RULES = Rules(agreeing_shots=3, newcomer_shots=3)


def shots(count: int, person: int = 1, quality: float = 0.8) -> list[Shot]:
    return [Shot(f"{number:02}", shot_of(person, number), quality) for number in range(count)]


def decided(
    enrolled: dict[str, float] | None = None,
    strangers: dict[str, float] | None = None,
    count: int = 3,
    **more: Any,
) -> Decision:
    def best_first(scores: dict[str, float] | None) -> list[Candidate]:
        found = [Candidate(key, score) for key, score in (scores or {}).items()]
        return sorted(found, key=lambda one: -one.score)

    evidence = combine(shots(count), SCALE.newcomer)
    assert evidence.count == count
    return decide(evidence, best_first(enrolled), best_first(strangers), SCALE, RULES, **more)


def test_a_name_needs_agreeing_shots_or_a_score_that_is_sure() -> None:
    assert decided({"ann": 0.55}, count=3).status == "enrolled"
    assert decided({"ann": 0.55}, count=2).status == "provisional"
    assert decided({"ann": 0.60}, count=1).status == "enrolled"
    assert decided({"ann": 0.49}, count=5).status == "provisional"


def test_a_name_needs_a_lead_over_the_second() -> None:
    assert decided({"ann": 0.70, "bea": 0.65}).status == "provisional"
    named = decided({"ann": 0.70, "bea": 0.63})
    assert (named.key, named.runner_up) == ("ann", Candidate("bea", 0.63))


def test_enrolled_people_come_before_the_strangers_they_were() -> None:
    named = decided({"ann": 0.55}, {"7": 0.95})
    assert (named.status, named.key) == ("enrolled", "ann")


def test_a_stranger_is_recognised_by_the_same_rule() -> None:
    assert decided(strangers={"7": 0.55}).key == "7"
    assert decided(strangers={"7": 0.55, "8": 0.52}).status == "provisional"
    assert decided(strangers={"7": 0.55}, count=2).status == "provisional"


def test_a_newcomer_needs_agreeing_shots_and_nobody_near() -> None:
    assert decided().status == "newcomer"
    assert decided(count=2).status == "provisional"
    assert decided({"ann": 0.37}, {"7": 0.2}).status == "newcomer"
    near = decided({"ann": 0.45})
    assert (near.status, near.runner_up) == ("provisional", Candidate("ann", 0.45))


def test_the_end_of_a_track_decides_what_was_open_and_names_nobody() -> None:
    assert decided({"ann": 0.49}, final=True).status == "newcomer"
    assert decided(strangers={"7": 0.46}, final=True).key == "7"
    assert decided(strangers={"7": 0.40}, final=True).status == "newcomer"
    assert decided({"ann": 0.55}, count=2, final=True).status == "provisional"


def test_what_was_decided_is_kept_until_it_is_contradicted() -> None:
    ann = Held("ann", is_new=False)
    assert decided({"ann": 0.47}, held=ann).key == "ann"
    assert decided({"ann": 0.40}, held=ann).status == "provisional"
    assert decided({"ann": 0.47, "bea": 0.58}, held=ann).key == "bea"
    assert decided(held=ann).status == "newcomer", "a person who was removed is not kept"
    new = Held("7", is_new=True)
    assert decided({"ann": 0.45}, held=new).status == "newcomer"
    assert decided({"ann": 0.55}, held=new).key == "ann"


def test_shots_that_do_not_agree_are_left_out() -> None:
    strange = Shot("x", shot_of(2, 0), 1.0)
    evidence = combine([*shots(3), strange], SCALE.newcomer)
    assert evidence.shots == ("00", "01", "02")
    assert float(evidence.template @ face(1)) > 0.9
    assert abs(float(evidence.template @ face(2))) < 0.1


def test_better_shots_weigh_more() -> None:
    good, bad = Shot("a", shot_of(1, 1, likeness=0.9), 1.0), Shot("b", shot_of(1, 2), 0.1)
    evidence = combine([good, bad], SCALE.newcomer)
    assert evidence.best == "a"
    assert evidence.template @ good.vector > evidence.template @ bad.vector


scores = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1), max_size=6)


@given(scores, scores, st.integers(1, 6), st.booleans())
def test_nobody_is_ever_named_below_the_threshold_or_without_a_lead(
    enrolled: dict[str, float], strangers: dict[str, float], count: int, final: bool
) -> None:
    strangers = {str(ord(key)): score for key, score in strangers.items()}
    decision = decided(enrolled, strangers, count, final=final)
    assert 0 <= decision.confidence <= 1
    if decision.status == "enrolled":
        ordered = sorted(enrolled.values(), reverse=True)
        assert decision.score == ordered[0] >= SCALE.same
        assert count >= RULES.agreeing_shots or decision.score >= SCALE.sure
        assert len(ordered) == 1 or ordered[0] - ordered[1] >= SCALE.lead
    if decision.status == "newcomer":
        assert count >= RULES.newcomer_shots
        assert final or max([*enrolled.values(), *strangers.values()], default=-1) < SCALE.newcomer


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
    taken = [
        Shot(f"{number}", shot_of(2 if number < strange else 1, number), 0.3 + number / 10)
        for number in range(7)
    ]
    straight = combine(taken, SCALE.newcomer)
    mixed = combine([taken[number] for number in order], SCALE.newcomer)
    assert mixed.shots == straight.shots
    assert mixed.best == straight.best
    np.testing.assert_array_equal(mixed.template, straight.template)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**31))
def test_a_template_is_one_long_whatever_the_shots(people: list[int], seed: int) -> None:
    taken = [Shot(str(rank), shot_of(one, rank + seed), 0.5) for rank, one in enumerate(people)]
    evidence = combine(taken, SCALE.newcomer)
    assert np.linalg.norm(evidence.template) == pytest.approx(1, abs=1e-5)
    assert 1 <= evidence.count <= len(taken)
    assert evidence.best in evidence.shots
