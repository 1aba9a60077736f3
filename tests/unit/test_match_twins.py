"""Twins, enrolled: a track that fits both is none of them, and says so by their ids."""

import pytest

from processors.match.candidates import Candidate
from processors.match.decision.identification import PriorIdentity
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector
from tests.match_support import PACK, Site, Walk, face, gallery_person
from tests.unit.test_match_decide import choice, decided

ADA, EVA, IDA = (gallery_person(1, "Ada"), gallery_person(2, "Eva"), gallery_person(3, "Ida"))


def between(*likenesses: float) -> Vector:
    """A face between those of the people 1, 2, ..."""
    vector = sum(
        (face(person) * likeness for person, likeness in enumerate(likenesses, 1)), face(0) * 0
    )
    vector[-1] = (1 - sum(likeness**2 for likeness in likenesses)) ** 0.5
    return vector


def passing(site: Site, vector: Vector, at_s: float = 0.0, camera: str = "door") -> Walk:
    """Let somebody pass by, until the end."""
    walk = Walk(9, camera, "site", at_s)
    end = walk.end()
    end.track_ended.confirmed = True
    site.take(*(walk.shot(number, vector=vector) for number in range(4)), end)
    return walk


@pytest.mark.parametrize("final", [False, True])
def test_two_people_who_are_alike_are_candidate_and_runner_up(final: bool) -> None:
    tied = decided({"ada": 0.85, "eva": 0.84, "ida": 0.3}, final=final)
    assert (tied.status, tied.key) == ("provisional", "")
    assert tied.runner_up == Candidate("eva", 0.84)
    assert tied.reason.endswith("two people come near")
    three = decided({"ada": 0.85, "eva": 0.84, "ida": 0.83}, final=final)
    assert three.reason.endswith("several people come near")


def test_a_tie_is_none_where_one_leads_or_none_is_safe_or_one_is_out_of_the_question() -> None:
    assert decided({"ada": 0.85, "eva": 0.75}).key == "ada"
    assert decided({"ada": 0.49, "eva": 0.48}).runner_up == Candidate("ada", 0.49)
    far = decided(choice({"ada": 0.85, "eva": 0.84}, unreachable="ada"))
    assert far.key == "eva"
    elsewhere = decided(choice({"ada": 0.85, "eva": 0.84}, claimed="ada"))
    assert elsewhere.key == "eva"


def test_who_was_named_before_stays_so() -> None:
    prior = PriorIdentity("ada", is_founded=False)
    assert decided({"ada": 0.84, "eva": 0.85}, prior=prior).key == "ada"


def test_an_unknown_person_with_the_face_of_both_names_nothing() -> None:
    tied = decided({"ada": 0.85, "eva": 0.84}, {"7": 0.95}, final=True)
    assert (tied.status, tied.runner_up) == ("provisional", Candidate("eva", 0.84))


def test_a_track_that_fits_twins_is_unidentified_and_founds_nobody() -> None:
    site = Site(ADA, EVA, IDA)
    walk = passing(site, between(0.66, 0.65))
    last = site.last(walk)
    assert last.status == pb.Sighting.UNIDENTIFIED
    assert (last.global_id, last.person_id, last.name, last.is_authorized) == (0, "", "", False)
    assert (last.candidate, last.runner_up) == (ADA.person_id, EVA.person_id)
    assert "two people come near" in last.reason
    assert all(sighting.global_id == 0 for sighting in site.said)
    assert site.unknown_index.indexes.people(PACK) == 0
    # The same face on another camera: the same again.
    again = site.last(passing(site, between(0.66, 0.65), 60, "gate"))
    assert (again.global_id, again.candidate) == (0, ADA.person_id)


def test_a_later_track_of_one_of_them_does_not_take_the_track_of_both() -> None:
    site = Site(ADA, EVA)
    passing(site, between(0.66, 0.65))
    later = passing(site, between(0.75, 0.6), 20)
    assert site.last(later).name == "Ada"
    assert {sighting.track_id for sighting in site.said if sighting.name} == {later.track_id}


def test_once_the_other_is_gone_the_one_has_a_name() -> None:
    site = Site(ADA, EVA)
    site.leave(EVA.person_id)
    assert site.last(passing(site, between(0.66, 0.65))).name == "Ada"
