"""What people have said lies over what the matcher decides: of tracks, of persons, of ways."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.match.embedding_codec import encode_embedding
from processors.match.reference.facts import Facts
from processors.match.reference.identity_corrections import IdentityCorrections
from processors.match.state.unknown_persons import MAX_FORGOTTEN_AT_ONCE
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError
from sightline.identity.calibration import builtin_calibration
from sightline.identity.evidence import Vector
from tests.match_support import PACK, SECOND_US, START_US, Site, Walk, face, gallery_person, shot_of

DAY_S = 86_400
ANN = gallery_person(1, "Ann")
ANN_ID = ids.global_id(ANN.person_id)
CHANGED = pb.Sighting.CHANGED


def walk(person: int, camera: str = "door", at_s: float = 0.0) -> Walk:
    return Walk(person, camera, "site", at_s)


def met(site: Site, *walks: Walk) -> list[int]:
    """Who the tracks are, once they are over."""
    return [site.take(*track.whole())[-1].global_id for track in walks]


def say(site: Site, person: int, **correction: object) -> None:
    """Somebody says something of a person; nothing takes it back."""
    fact = None
    if correction:
        fact = pb.Fact(person=pb.PersonCorrection(global_id=person, **correction))  # type: ignore[arg-type]
    site.tell(f"person|{person}", fact)


def give(site: Site, track: Walk, person: int, vector: Vector | None = None) -> None:
    """Somebody says who a track was."""
    correction = pb.TrackCorrection(track_id=track.track_id, site_id="site", global_id=person)
    if vector is not None:
        correction.templates.add(
            template_id=ids.sighting_id(track.track_id, 0),
            pack=PACK,
            vector=encode_embedding(vector),
        )
    site.tell(f"track|{track.track_id}", pb.Fact(track=correction))


def test_who_was_merged_is_met_again_as_the_other() -> None:
    site = Site()
    first, other = met(site, walk(1), walk(2, at_s=60))
    say(site, first, merged_into=other)
    first_again, same = met(site, walk(1, "hall", 120), walk(2, "hall", 180))
    assert first_again == same == other
    site.restart()
    assert met(site, walk(1, "yard", 240)) == [other]
    assert site.unknown_index.indexes.people(PACK) == 1


def test_a_live_track_is_the_merged_person_from_its_next_shot_on() -> None:
    site = Site()
    (other,) = met(site, walk(2))
    live = walk(1, "hall", 60)
    founded = site.take(*(live.shot(number) for number in range(3)))[-1].global_id
    say(site, founded, merged_into=other)
    (sighting,) = site.take(live.shot(3))
    assert (sighting.status, sighting.global_id) == (CHANGED, other)
    assert site.take(live.end())[-1].global_id == other


def test_a_merge_that_is_taken_back_leaves_two() -> None:
    site = Site()
    first, other = met(site, walk(1), walk(2, at_s=60))
    say(site, first, merged_into=other)
    say(site, first)
    assert met(site, walk(1, "hall", 120), walk(2, "hall", 180)) == [first, other]


def test_a_stranger_who_enrolled_is_the_enrolled_person_and_no_stranger() -> None:
    site = Site()
    (unknown,) = met(site, walk(1))
    live = walk(1, "hall", 60)
    site.take(live.shot(0))
    say(site, unknown, merged_into=ANN_ID)  # either record may come first
    site.enrol(ANN)
    assert site.unknown_index.indexes.people(PACK) == 0
    sighting = site.take(live.shot(1))[-1]
    assert (sighting.name, sighting.global_id, sighting.person_id) == ("Ann", ANN_ID, ANN.person_id)
    site.leave(ANN.person_id)
    assert site.unknown_index.indexes.people(PACK) == 1
    assert site.take(live.shot(2), live.end())[-1].name == ""


def test_a_track_that_was_somebody_else_teaches_and_the_name_is_not_given_again() -> None:
    """ "Not this person": a look-alike who was called Ann."""
    site = Site(ANN)
    vector = shot_of(1, 7, likeness=0.62)  # near to Ann, and always the same otherwise
    alike = walk(1)
    assert site.take(*(alike.shot(number, vector=vector) for number in range(3)))[-1].name == "Ann"
    new = 4711
    give(site, alike, new, vector)
    say(site, new, not_same=[ANN_ID])
    (sighting,) = site.take(alike.shot(3, vector=vector))
    assert (sighting.status, sighting.global_id, sighting.name) == (CHANGED, new, "")
    assert "somebody has said" in sighting.reason
    site.take(alike.end())
    later = walk(1, "hall", 60)
    sighting = site.take(*(later.shot(number, vector=vector) for number in range(3)), later.end())[
        -1
    ]
    assert (sighting.global_id, sighting.name) == (new, "")
    assert sighting.candidate == ANN.person_id, "and it is said who came near"
    assert met(site, walk(1, "yard", 120)) == [ANN_ID], "Ann herself is still Ann"


def test_a_track_that_was_split_off_is_another_person() -> None:
    site = Site()
    (person,) = met(site, walk(1))
    vector = between(0.65, 0.6)
    alike, later = walk(9, "hall", 60), walk(9, "yard", 120)
    mixed = site.take(*(alike.shot(number, vector=vector) for number in range(3)), alike.end())
    assert mixed[-1].global_id == person
    give(site, alike, 99)
    say(site, 99, not_same=[person])
    assert site.unknown_index.indexes.people(PACK) == 2
    sightings = site.take(*(later.shot(number, vector=vector) for number in range(3)), later.end())
    assert sightings[-1].global_id == 99
    assert met(site, walk(1, "yard", 180)) == [person]
    site.restart()
    assert site.unknown_index.indexes.people(PACK) == 2


def test_who_is_forgotten_is_not_met_again_and_leaves_no_look() -> None:
    site = Site()
    (person,) = met(site, walk(1))
    say(site, person, forgotten=True)
    assert site.unknown_index.indexes.people(PACK) == 0
    (other,) = met(site, walk(1, "hall", 60))
    assert other not in (0, person)
    assert not [key for key in site.changelog if key == f"p|site|{person}".encode()]


def test_strangers_unseen_for_days_are_forgotten_unless_they_have_a_name() -> None:
    site = Site()
    passing, named, regular = met(site, walk(1), walk(2, at_s=60), walk(3, at_s=120))
    say(site, named, named=True)
    met(site, walk(3, at_s=5 * DAY_S))
    met(site, walk(4, "hall", 30 * DAY_S))
    assert site.state.unknown_persons.get(passing) is not None, (
        "another camera's clock says nothing"
    )
    met(site, walk(4, at_s=7.5 * DAY_S))
    assert site.state.unknown_persons.get(passing) is None
    assert f"p|site|{passing}".encode() not in site.changelog
    assert site.state.unknown_persons.get(named) is not None
    assert site.state.unknown_persons.get(regular) is not None
    returned, same = met(site, walk(1, at_s=8 * DAY_S), walk(2, at_s=8 * DAY_S + 60))
    assert returned != passing
    assert same == named


def test_a_camera_whose_clock_is_wrong_makes_nobody_old() -> None:
    site = Site()
    (person,) = met(site, walk(1))
    site.latest_us = START_US + 60 * SECOND_US
    met(site, walk(2, at_s=30 * DAY_S))
    assert site.state.unknown_persons.get(person) is not None
    assert met(site, walk(1, at_s=30)) == [person]


def test_strangers_are_forgotten_a_few_at_a_time() -> None:
    site = Site()
    met(site, *(walk(number, at_s=number * 60) for number in range(1, 31)))
    late = walk(40, at_s=20 * DAY_S)
    for number in range(5):
        before = site.unknown_index.indexes.people(PACK)
        site.take(late.shot(number))
        assert before - site.unknown_index.indexes.people(PACK) <= MAX_FORGOTTEN_AT_ONCE
    assert site.unknown_index.indexes.people(PACK) == 1


def test_the_merged_are_as_old_as_their_last_sighting() -> None:
    site = Site()
    first, other = met(site, walk(1), walk(2, at_s=60))
    say(site, first, merged_into=other)
    met(site, walk(2, at_s=5 * DAY_S), walk(5, at_s=8 * DAY_S))
    assert met(site, walk(1, at_s=8 * DAY_S + 60)) == [other]


def between(likeness: float, other: float) -> Vector:
    """A face between those of two people."""
    vector = face(1) * likeness + face(2) * other
    vector[-1] = (1 - likeness**2 - other**2) ** 0.5
    return vector


@pytest.mark.parametrize(
    ("seconds", "is_set", "name"),
    [(20, True, "Bea"), (40, True, ""), (20, False, "")],
)
def test_who_cannot_have_come_so_soon_loses_a_tie(seconds: float, is_set: bool, name: str) -> None:
    site = Site(ANN, gallery_person(2, "Bea"))
    if is_set:
        site.tell("walking|door|gate", pb.Fact(
            walking_time=pb.WalkingTime(camera_a="gate", camera_b="door", seconds=30)
        ))  # fmt: skip
    ann = walk(1, "gate")
    assert site.take(*(ann.shot(number) for number in range(3)))[-1].name == "Ann"
    site.restart()
    unsure = walk(9, "door", 0.6 + seconds)
    vector = between(0.66, 0.64)
    sighting = site.take(*(unsure.shot(number, vector=vector) for number in range(3)))[-1]
    assert sighting.name == name


def test_a_walking_time_that_is_taken_back_decides_nothing() -> None:
    facts = Facts()
    walking = pb.WalkingTime(camera_a="a", camera_b="b", seconds=2)
    facts.put(b"walking|a|b", pb.Fact(walking_time=walking).SerializeToString())
    assert facts.walking_us("b", "a") == 2_000_000
    facts.put(b"walking|a|b", None)
    assert facts.walking_us("a", "b") == 0


def test_the_calibration_in_force_is_the_one_told_last() -> None:
    facts = Facts()
    before = facts.scale(PACK, 10, 1e-3)
    stored = builtin_calibration("dlib").model_copy(update={"id": "ours"})
    fact = pb.Fact(calibration=pb.Calibration(pack=PACK, json=stored.model_dump_json()))
    facts.put(f"calibration|{PACK}".encode(), fact.SerializeToString())
    assert facts.scale(PACK, 10, 1e-3).calibration == "ours"
    facts.put(f"calibration|{PACK}".encode(), None)
    assert facts.scale(PACK, 10, 1e-3) == before


@pytest.mark.parametrize(
    ("key", "fact", "reason"),
    [
        (b"calibration|p", pb.Fact(calibration=pb.Calibration(pack="p", json="{")),
         "bad_calibration"),
        (b"calibration|p", pb.Fact(calibration=pb.Calibration(pack="p", json="[]")),
         "bad_calibration"),
        (b"person|x", pb.Fact(person=pb.PersonCorrection()), "bad_id"),
        (b"person|x", pb.Fact(), "empty"),
        (b"person|x", None, "bad_id"),
        (b"\xff", None, "bad_id"),
    ],
)  # fmt: skip
def test_a_fact_that_is_none_changes_nothing(key: bytes, fact: pb.Fact | None, reason: str) -> None:
    facts = Facts()
    before = facts.scale("p", 1, 1e-3)
    with pytest.raises(InvalidMessageError) as caught:
        facts.put(key, None if fact is None else fact.SerializeToString())
    assert caught.value.reason == reason
    assert facts.scale("p", 1, 1e-3) == before


def test_a_look_that_cannot_be_compared_is_left_out_alone() -> None:
    site = Site(ANN)
    for vector in (face(2)[:64], face(2) * 0, face(2) * float("nan"), face(2) * 3):
        give(site, walk(1, at_s=float(len(vector))), 77, vector)
    assert site.unknown_index.indexes.people(PACK) == 0
    give(site, walk(1), 77, face(2))
    assert met(site, walk(2)) == [77]


def test_where_rates_cannot_be_promised_strangers_are_still_recognised() -> None:
    facts = Facts()
    for people in (1, 10_000, 10_000_000):
        scale = facts.scale_of_ids("never-measured", people, 1e-9)
        assert max(scale.name_thresholds) < 1


corrections_made = st.lists(
    st.tuples(st.sampled_from(["merge", "give", "back"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=8,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(corrections_made, st.randoms(use_true_random=False))
def test_it_does_not_matter_whether_facts_or_sightings_come_first(
    corrections: list[tuple[str, int, int]], chance: random.Random
) -> None:
    walks = [walk(person, at_s=60.0 * person) for person in range(1, 5)]
    people = [ids.global_id(walked.track_id) for walked in walks]
    early, late = Site(), Site()
    facts: dict[str, pb.Fact] = {}
    for kind, first, other in corrections:
        if kind == "merge" and first < other:  # never through another
            if any(fact.person.merged_into == people[first] for fact in facts.values()):
                continue
            if f"person|{people[other]}" in facts:
                continue
            facts[f"person|{people[first]}"] = pb.Fact(
                person=pb.PersonCorrection(global_id=people[first], merged_into=people[other])
            )
        elif kind == "give":
            track = walks[first].track_id
            facts[f"track|{track}"] = pb.Fact(
                track=pb.TrackCorrection(track_id=track, site_id="site", global_id=people[other])
            )
    met(late, *walks)
    records = list(facts.items())
    chance.shuffle(records)
    for key, fact in records:
        early.tell(key, fact)
        late.tell(key, fact)
    late.restart()
    fresh = Site()
    fresh.reference, fresh.gallery, fresh.changelog = (
        early.reference, early.gallery, late.changelog
    )  # fmt: skip
    fresh.restart()
    for person in range(1, 5):
        candidates = [
            site.unknown_index.nearest(PACK, face(person), without=("", ""), also=())
            for site in (late, fresh)
        ]
        ranked = [
            [(candidate.key, round(candidate.score, 6)) for candidate in nearest]
            for nearest in candidates
        ]
        assert ranked[0] == ranked[1]


def test_cannot_links_follow_merges() -> None:
    corrections = IdentityCorrections()
    corrections.set_person(1, pb.PersonCorrection(global_id=1, not_same=[2]))
    corrections.set_person(2, pb.PersonCorrection(global_id=2, merged_into=3))
    assert corrections.cannot_link(1) == {3}
    assert corrections.cannot_link(3) == {1}
    corrections.set_person(1, None)
    assert corrections.cannot_link(3) == set()
