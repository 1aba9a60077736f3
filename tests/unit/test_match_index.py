"""The index finds whom comparing with everybody would find, whatever came and went before."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from processors.match.index.fast_scan import FastScanCodes
from processors.match.index.template_index import TemplateIndex
from sightline.identity.evidence import Vector, mean_of, score_of

DIMENSION = 16
FLAT = 24
"""So few templates that the short codes come in."""

Operation = tuple[str, int, list[int]]


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / length, np.float32)


def template(seed: int, dimension: int = DIMENSION) -> Vector:
    return unit(np.random.default_rng(seed).normal(size=dimension))


def brute_force(people: dict[str, list[Vector]], vector: Vector) -> dict[str, float]:
    return {
        key: score_of(vector, templates, mean_of(templates)) for key, templates in people.items()
    }


def check(index: TemplateIndex, people: dict[str, list[Vector]], also: Sequence[str]) -> None:
    """The index against all of its people; there are no more than it scores in full."""
    assert index.people == len(people)
    assert index.templates == sum(len(templates) for templates in people.values())
    for seed in (1, 1000):  # somebody's template, perhaps, and nobody's
        vector = template(seed)
        scores = brute_force(people, vector)
        candidates = index.search(vector, 3, also)
        best = candidates[:3]
        assert [candidate.score for candidate in best] == pytest.approx(
            sorted(scores.values(), reverse=True)[:3], abs=1e-5
        )
        assert candidates == sorted(
            candidates, key=lambda candidate: (-candidate.score, candidate.key)
        )
        assert len({candidate.key for candidate in candidates}) == len(candidates)
        for candidate in candidates:
            assert candidate.score == pytest.approx(scores[candidate.key], abs=1e-5)
        for key in also:
            assert (key in people) == (key in {candidate.key for candidate in candidates})
        assert all(candidate.key in also for candidate in candidates[3:])


# Few people and templates, so that there are replacements, ties and removals.
operation = st.tuples(
    st.sampled_from(["put", "put", "put", "remove"]),
    st.integers(0, 11),
    st.lists(st.integers(0, 20), max_size=7),
)


@given(st.lists(operation, max_size=60), st.lists(st.integers(0, 12), max_size=3))
@pytest.mark.parametrize("flat", [FLAT, 10**6])
def test_any_history_leaves_what_comparing_with_all_finds(
    flat: int, operations: list[Operation], also: list[int]
) -> None:
    index = TemplateIndex(DIMENSION, flat)
    people: dict[str, list[Vector]] = {}
    for number, (what, person, seeds) in enumerate(operations):
        if what == "put" and seeds:
            people[str(person)] = [template(seed) for seed in seeds]
            index.put(str(person), people[str(person)])
        else:
            people.pop(str(person), None)
            if what == "put":
                index.put(str(person), [])
            else:
                index.remove(str(person))
        if number % 10 == 9:
            check(index, people, [str(key) for key in also])
    check(index, people, [str(key) for key in also])


def test_the_codes_come_and_go_with_the_size() -> None:
    index = TemplateIndex(DIMENSION, FLAT)
    for person in range(FLAT + 1):
        index.put(str(person), [template(person)])
    assert index.depth != index.templates
    for person in range(FLAT):
        index.remove(str(person))
    assert index.depth == index.templates == 1
    assert [candidate.key for candidate in index.search(template(FLAT), 5)] == [str(FLAT)]


@pytest.mark.parametrize("flat", [FLAT, 10**6])
def test_a_score_is_the_same_to_the_last_bit_whoever_else_is_there(flat: int) -> None:
    templates = [template(seed, 128) for seed in range(9)]
    vector = unit(templates[0] + templates[3] + template(99, 128))
    alone = TemplateIndex(128)
    alone.put("Ann", templates)
    score = alone.search(vector, 1)[0].score
    crowd = TemplateIndex(128, flat)
    for person in range(100):
        if person == 50:
            crowd.put("Ann", templates)
        crowd.put(
            str(person), [template(1000 * person + number, 128) for number in range(1 + person % 5)]
        )
    for person in range(0, 100, 2):
        crowd.remove(str(person))
    assert crowd.search(vector, 5)[0].score == score
    assert [
        candidate.score for candidate in crowd.search(-vector, 5, ["Ann"]) if candidate.key == "Ann"
    ] == [alone.search(-vector, 1)[0].score]


@pytest.mark.parametrize("flat", [FLAT, 10**6])
def test_those_who_score_the_same_come_by_key(flat: int) -> None:
    index = TemplateIndex(DIMENSION, flat)
    for key in "dbeca":
        index.put(key, [template(1), template(2)])
    for person in range(30):
        index.put(str(person), [-template(1)])
    assert [candidate.key for candidate in index.search(template(1), 3)] == ["a", "b", "c"]


def test_many_looks_of_one_person_do_not_hide_the_next() -> None:
    index = TemplateIndex(DIMENSION, FLAT)
    near = [unit(template(1) + 0.1 * template(seed)) for seed in range(100, 500)]
    index.put("many", near)
    index.put("second", [unit(template(1) + 0.5 * template(2))])
    assert [candidate.key for candidate in index.search(template(1), 2)] == ["many", "second"]


def test_templates_that_cancel_out_have_the_first_for_a_mean() -> None:
    index = TemplateIndex(DIMENSION)
    index.put("Ann", [template(1), -template(1)])
    index.put("Bob", [template(2)])
    scores = {candidate.key: candidate.score for candidate in index.search(template(1), 2)}
    assert scores["Ann"] == pytest.approx(1.0)


def test_an_empty_index_finds_nobody() -> None:
    index = TemplateIndex(DIMENSION)
    assert index.search(template(1), 5, ["Ann"]) == []
    index.remove("Ann")
    assert (index.people, index.templates) == (0, 0)


def test_vectors_that_have_no_codes_are_compared_all() -> None:
    index = TemplateIndex(7, FLAT)
    for person in range(2 * FLAT):
        index.put(str(person), [template(person, 7)])
    assert index.depth == index.templates
    assert index.search(template(30, 7), 1)[0].key == "30"


@given(st.lists(st.one_of(st.integers(1, 40), st.integers(-70, -1)), min_size=1, max_size=30))
def test_codes_that_were_moved_are_those_of_the_rows(changes: list[int]) -> None:
    random = np.random.default_rng(3)
    sample = unit(random.normal(size=(100, DIMENSION)))
    codes, rows = FastScanCodes(sample), np.zeros((0, DIMENSION), np.float32)
    for change in changes:
        if change > 0:
            new = unit(random.normal(size=(change, DIMENSION)))
            codes.add(new)
            rows = np.concatenate([rows, new])
        elif len(rows) >= -change:
            rows[-change - 1] = rows[-1]
            if len(rows) > -change:
                codes.move_last(-change - 1)
            codes.remove_last()
            rows = rows[:-1]
    assert codes.size == len(rows)
    if len(rows):
        fresh = FastScanCodes(sample)
        fresh.add(rows)
        for probe in sample[:3]:
            depth = min(20, len(rows))
            np.testing.assert_array_equal(codes.search(probe, depth), fresh.search(probe, depth))


def clustered(
    people: int, count: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(people, count, 128) templates and (people, 128) other shots of the same people."""
    random = np.random.default_rng(seed)
    centres = unit(random.normal(size=(people, 1, 128)))
    noise = 0.8 * unit(random.normal(size=(people, count + 1, 128)))
    shots = unit(centres + noise)
    return shots[:, :-1], shots[:, -1]


@pytest.mark.slow
def test_a_large_gallery_finds_the_best_person_nearly_always() -> None:
    templates, shots = clustered(people=3000, count=3, seed=5)
    index = TemplateIndex(128)
    for person, count in enumerate(templates):
        index.put(str(person), list(count))
    for person in range(0, 3000, 3):  # others move to where they were
        index.remove(str(person))
    for person in range(0, 3000, 6):
        index.put(str(person), list(templates[person]))
    there = [person for person in range(3000) if person % 3 or person % 6 == 0]
    means = unit(templates[there].sum(1))
    right = 0
    probes = shots[::8]
    for probe in probes:
        scores = ((templates[there] @ probe).max(1) + means @ probe) / 2
        best = index.search(probe, 2)[0]
        right += best.key == str(there[int(np.argmax(scores))])
    assert index.depth < index.templates / 20
    assert right / len(probes) >= 0.99
