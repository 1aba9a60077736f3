"""IDF1 against values worked out by hand."""

import pytest

from benchmarks.idf1 import id_score


def test_everybody_under_one_id_of_their_own_is_perfect() -> None:
    assert id_score([("ana", 1)] * 5 + [("ben", 2)] * 3).f1 == 1.0


def test_a_second_id_loses_its_frames_on_both_sides() -> None:
    score = id_score([("ana", 1)] * 6 + [("ana", 2)] * 4)
    assert (score.true_positives, score.truth, score.computed) == (6, 10, 10)
    assert score.f1 == pytest.approx(0.6)


def test_two_people_under_one_id_count_for_one_of_them() -> None:
    score = id_score([("ana", 1)] * 6 + [("ben", 1)] * 4)
    assert score.precision == score.recall == score.f1 == pytest.approx(0.6)


def test_the_matching_is_the_best_of_all_and_not_one_by_one() -> None:
    # Ana's most frequent id is Ben's only one: 5 + 4 beats 6 + 0.
    frames = [("ana", 1)] * 6 + [("ana", 2)] * 5 + [("ben", 1)] * 4
    assert id_score(frames).true_positives == 9


def test_missed_frames_cost_recall_and_strays_precision() -> None:
    score = id_score([("ana", 1)] * 8, missed=2, strays=4)
    assert score.recall == pytest.approx(0.8)
    assert score.precision == pytest.approx(8 / 12)
    assert score.f1 == pytest.approx(2 * 8 / (10 + 12))


def test_nothing_scores_nothing() -> None:
    assert id_score([]).f1 == 0.0
    assert id_score([], missed=3).f1 == 0.0
