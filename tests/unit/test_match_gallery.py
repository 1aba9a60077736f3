"""Searching templates: the index against plain arithmetic, and what the gallery takes."""

import logging
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.match.embedding_codec import decode_embedding, encode_embedding
from processors.match.index.gallery import GalleryIndex
from processors.match.index.template_index import TemplateIndex
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector, mean_of
from sightline.runtime.errors import PoisonRecord
from tests.match_support import PACK, face, gallery_person, shot_of


def vectors(seed: int, count: int, dimension: int = 16) -> list[Vector]:
    random = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return list(random / np.linalg.norm(random, axis=1, keepdims=True))


changes = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(0, 2**31)), max_size=120
)


@settings(max_examples=50)
@given(changes, st.integers(0, 2**31))
def test_the_index_finds_what_arithmetic_finds(puts: list[tuple[int, int, int]], seed: int) -> None:
    index = TemplateIndex(16)
    people: dict[str, list[Vector]] = {}
    for person, templates, salt in puts:
        people[str(person)] = vectors(salt, templates)
        index.put(str(person), people[str(person)])
    people = {key: templates for key, templates in people.items() if templates}
    (probe,) = vectors(seed, 1)
    expected = {
        key: (max(template @ probe for template in templates) + mean_of(templates) @ probe) / 2
        for key, templates in people.items()
    }
    assert index.people == len(people)
    assert index.templates == sum(map(len, people.values()))
    candidates = index.search(probe, 5)
    best = sorted(expected.values(), reverse=True)[:5]
    assert [candidate.score for candidate in candidates] == pytest.approx(best, abs=1e-5)
    assert all(
        candidate.score == pytest.approx(expected[candidate.key], abs=1e-5)
        for candidate in candidates
    )


def test_those_asked_about_are_always_among_the_found() -> None:
    index = TemplateIndex(16)
    for person in range(20):
        index.put(str(person), vectors(person, 2))
    (probe,) = vectors(99, 1)
    worst = index.search(probe, 20)[-1]
    assert worst in index.search(probe, 2, always=[worst.key, "nobody"])
    assert len(index.search(probe, 2, always=[worst.key])) == 3


def test_a_person_is_known_until_they_are_removed() -> None:
    gallery = GalleryIndex()
    record = gallery_person(1, "Ann")
    gallery.put(record)
    gallery.put(gallery_person(2, "Bea"))
    assert gallery.nearest(PACK, shot_of(1, 0))[0].key == record.person_id
    gallery.remove(record.person_id)
    assert record.person_id not in {
        candidate.key for candidate in gallery.nearest(PACK, shot_of(1, 0))
    }
    assert gallery.enrolled.person(record.person_id) is None
    assert (len(gallery.enrolled), gallery.indexes.templates) == (1, 1)


def test_an_older_record_delivered_again_changes_nothing() -> None:
    gallery = GalleryIndex()
    gallery.put(gallery_person(1, "Ann Younger", revision=2))
    gallery.put(gallery_person(1, "Ann", revision=1))
    person = gallery.enrolled.person(str(UUID(int=2)))
    assert person is not None
    assert person.name == "Ann Younger"


@pytest.mark.parametrize(
    ("status", "flag", "may"),
    [("active", True, True), ("active", False, False), ("suspended", True, False),
     ("left", True, False)],
)  # fmt: skip
def test_only_active_people_are_authorised(status: str, flag: bool, may: bool) -> None:
    gallery = GalleryIndex()
    gallery.put(gallery_person(1, "Ann", status=status, is_authorized=flag))
    person = gallery.enrolled.person(str(UUID(int=2)))
    assert person is not None
    assert person.is_authorized is may


def test_vectors_of_two_packs_never_meet(caplog: pytest.LogCaptureFixture) -> None:
    gallery = GalleryIndex()
    gallery.put(gallery_person(1, "Ann"))
    with caplog.at_level(logging.WARNING):
        assert gallery.nearest("another", face(1)) == []
        assert gallery.nearest("another", face(1)) == []
    assert [
        record.message for record in caplog.records if "employees refresh" in record.message
    ] != []
    assert len(caplog.records) == 1, "it is said once"


def test_a_template_that_cannot_be_compared_is_left_out_alone() -> None:
    gallery = GalleryIndex()
    record = gallery_person(1, "Ann")
    record.templates.add(template_id="short", pack=PACK, vector=encode_embedding(face(2)[:64]))
    record.templates.add(template_id="zero", pack=PACK, vector=bytes(512))
    gallery.put(record)
    assert gallery.indexes.templates == 1
    assert gallery.nearest(PACK, face(1))[0].score == pytest.approx(1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(bytes(512), "bad_vector"), (b"123", "bad_vector"), (b"", "bad_vector"),
     (b"\x00\x00\xc0\x7f" * 128, "bad_vector"), (encode_embedding(face(0)[:64]), "bad_dimension"),
     (b"\x00\x00\x80\x7f" * 128, "bad_vector"), (encode_embedding(face(0) * 3), "bad_vector")],
)  # fmt: skip
def test_a_vector_that_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PoisonRecord) as caught:
        decode_embedding(data, 128 if reason == "bad_dimension" else None)
    assert caught.value.reason == reason


def test_vectors_travel_unchanged() -> None:
    np.testing.assert_array_equal(decode_embedding(encode_embedding(face(3))), face(3))


def test_the_record_of_a_person_is_what_the_gallery_reads() -> None:
    gallery = GalleryIndex()
    gallery.put(pb.GalleryPerson.FromString(gallery_person(1, "Ann").SerializeToString()))
    assert len(gallery.enrolled) == 1
