"""One event after another: what is said of a track, and what a site remembers."""

import random
from collections.abc import Iterable
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.match.decision.step import MAX_OBSERVATIONS
from processors.match.embedding_codec import decode_embedding, encode_embedding
from processors.match.state.site_state import Changes
from processors.match.state.unknown_persons import MAX_TEMPLATES, with_template
from schemas import ids
from schemas import sightline_pb2 as pb
from schemas.naming import track_state_key
from sightline.identity.evidence import Vector
from sightline.runtime.errors import PoisonRecord
from tests.match_support import DIMENSION, PACK, Site, Walk, face, gallery_person, shot_of

PROVISIONAL, CONFIRMED, CHANGED, ENDED = (
    pb.Sighting.PROVISIONAL,
    pb.Sighting.CONFIRMED,
    pb.Sighting.CHANGED,
    pb.Sighting.ENDED,
)

ANN = str(UUID(int=2))  # the first person's id in `gallery_person`


def walk(person: int, camera: str = "door", at_s: float = 0.0) -> Walk:
    return Walk(person, camera, "site", at_s)


def statuses(sightings: Iterable[pb.Sighting]) -> list[int]:
    return [sighting.status for sighting in sightings]


def test_a_track_is_provisional_then_confirmed_then_ended_once_each() -> None:
    site = Site(gallery_person(1, "Ann"))
    ann = walk(1)
    sightings = site.take(*(ann.shot(number, likeness=0.5) for number in range(5)), ann.end())
    assert statuses(sightings) == [PROVISIONAL, CONFIRMED, ENDED]
    assert {sighting.sighting_id for sighting in sightings} == {ids.sighting_id(ann.track_id, 0)}
    first, confirmed, ended = sightings
    assert (first.global_id, first.name, first.template) == (0, "", b"")
    assert first.runner_up == ANN
    assert first.runner_up_score == first.score
    assert (confirmed.person_id, confirmed.name) == (ANN, "Ann")
    assert confirmed.global_id == ids.global_id(ANN)
    assert np.linalg.norm(decode_embedding(confirmed.template)) == pytest.approx(1, abs=1e-5)
    assert (ended.name, ended.shots, ended.template) == ("Ann", 5, b"")
    assert ended.decided_at_us == confirmed.decided_at_us == ann.start_us + 600_000


def test_one_shot_that_is_sure_is_confirmed_at_once() -> None:
    site = Site(gallery_person(1, "Ann"))
    assert statuses(site.take(walk(1).shot(0))) == [CONFIRMED]


def test_a_face_turned_away_counts_only_where_there_is_no_other() -> None:
    def turned(track: Walk, number: int) -> pb.FaceEvent:
        shot = track.shot(number, likeness=0.42)
        shot.observation.quality.frontality = 0.1
        return shot

    site, away, back = Site(gallery_person(1, "Ann")), walk(1, "yard"), walk(1)
    sightings = site.take(turned(away, 0), turned(away, 1), away.end())
    assert statuses(sightings) == [PROVISIONAL, ENDED]
    assert (sightings[-1].shots, sightings[-1].candidate, sightings[-1].name) == (2, ANN, "")
    assert 0.3 < sightings[-1].candidate_score < sightings[-1].threshold
    sightings = site.take(turned(back, 0), turned(back, 1), back.shot(2))
    assert statuses(sightings) == [PROVISIONAL, CONFIRMED]
    assert (sightings[-1].shots, sightings[-1].name) == (1, "Ann")


def test_a_track_nobody_saw_a_face_of_says_nothing() -> None:
    site = Site()
    assert site.take(walk(1).end()) == []
    assert site.changelog == {}


def test_a_stranger_keeps_the_id_on_another_camera_and_after_a_restart() -> None:
    site = Site(gallery_person(1, "Ann"))
    met = walk(2)
    founded = site.take(*met.whole())[-1]
    assert founded.global_id == ids.global_id(met.track_id)
    site.restart()
    returned = site.take(*walk(2, "hall", 60).whole())[-1]
    assert (returned.global_id, returned.person_id, returned.name) == (founded.global_id, "", "")
    other = site.take(*walk(3, "hall", 60).whole())[-1]
    assert other.global_id not in (0, founded.global_id)


def _between(first: Walk, number: int) -> pb.FaceEvent:
    """A shot of the first person that is also like shots of theirs that nobody could name."""
    clear, poor = shot_of(first.person, number, 7), _poor(first.person, number)
    both = clear + poor
    return first.shot(number, vector=both / np.linalg.norm(both))


def _poor(person: int, number: int) -> Vector:
    """Too little like the person for a name, and much like the others of its kind."""
    return shot_of(person, number, 5, likeness=0.35)


def _unnamed(site: Site, track: Walk) -> list[pb.Sighting]:
    return site.take(
        *(track.shot(number, vector=_poor(track.person, number)) for number in range(3)),
        track.end(),
    )


def test_a_later_track_names_the_earlier_one_that_it_links_to_the_person() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(1, "yard"), walk(1, "door", 60)
    before = _unnamed(site, early)[-1]
    assert before.global_id == ids.global_id(early.track_id)
    sightings = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert [(sighting.track_id, sighting.status, sighting.name) for sighting in sightings] == [
        (late.track_id, CONFIRMED, "Ann"),
        (early.track_id, CHANGED, "Ann"),
        (late.track_id, ENDED, "Ann"),
    ]
    named = sightings[1]
    assert named.sighting_id == before.sighting_id
    assert named.decided_at_us == before.decided_at_us, "they were there then, not now"
    assert named.score >= named.threshold
    assert site.state.unknown_persons.get(before.global_id) is None, "they never were a stranger"
    site.restart()
    assert site.take(early.end())[-1].name == "Ann"


def test_a_later_track_names_a_glimpse_that_was_nobody() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(1, "yard"), walk(1, "door", 60)
    glimpse = [early.shot(number, vector=_poor(1, number)) for number in range(2)]
    before = site.take(*glimpse, early.end())
    assert statuses(before) == [PROVISIONAL, ENDED]
    assert before[-1].global_id == 0
    site.restart()
    sightings = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert {
        (sighting.track_id, sighting.status, sighting.name)
        for sighting in sightings
        if sighting.name
    } == {
        (late.track_id, CONFIRMED, "Ann"),
        (early.track_id, CHANGED, "Ann"),
        (late.track_id, ENDED, "Ann"),
    }
    named = next(sighting for sighting in sightings if sighting.track_id == early.track_id)
    assert named.decided_at_us == before[-1].decided_at_us
    assert named.score >= named.threshold
    assert decode_embedding(named.template).shape == (DIMENSION,)
    assert site.take(early.end())[-1].name == "Ann"


def test_a_glimpse_of_somebody_else_stays_nobody() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(2, "yard"), walk(1, "door", 60)
    site.take(*(early.shot(number) for number in range(2)), early.end())
    sightings = site.take(*(late.shot(number) for number in range(3)), late.end())
    assert {sighting.track_id for sighting in sightings} == {late.track_id}


def test_a_glimpse_beside_the_person_stays_nobody() -> None:
    site, ann, late = Site(gallery_person(1, "Ann")), walk(1), walk(1, "hall", 60)
    double = walk(1)
    double.track_id = ids.track_id("door", double.start_us, 9)
    site.take(*(ann.shot(number) for number in range(3)))
    glimpse = [double.shot(number, vector=_poor(1, number)) for number in range(2)]
    site.take(*glimpse, double.end(), ann.end())
    sightings = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert {sighting.track_id for sighting in sightings} == {late.track_id}


def test_a_stranger_whom_somebody_was_beside_is_not_that_person() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(1), walk(1, "hall", 60)
    beside = Walk(1, "door", "site")
    beside.track_id = ids.track_id("door", beside.start_us, 9)
    site.take(*(beside.shot(number) for number in range(3)))
    for number in range(3):  # much like each other, and less like Ann than would be a double of her
        site.take(early.shot(number, vector=shot_of(2, number, 5, likeness=0.9)))
    before = site.take(early.end(), beside.end())
    unknown = next(sighting for sighting in before if sighting.track_id == early.track_id)
    assert unknown.global_id == ids.global_id(early.track_id)
    both = [shot_of(1, number, 7) + shot_of(2, number, 5) for number in range(3)]
    shots = [late.shot(n, vector=vector / np.linalg.norm(vector)) for n, vector in enumerate(both)]
    sightings = site.take(*shots, late.end())
    assert {sighting.track_id for sighting in sightings} == {late.track_id}
    assert sightings[-1].name == "Ann"


def test_two_shots_alone_make_no_id() -> None:
    sightings = Site().take(*walk(2).whole(shots=2))
    assert statuses(sightings) == [PROVISIONAL, ENDED]
    assert [sighting.global_id for sighting in sightings] == [0, 0]


def test_a_name_is_given_when_the_person_enrols_and_taken_when_they_are_removed() -> None:
    site = Site()
    track = walk(1)
    unknown = site.take(*(track.shot(number) for number in range(3)))[-1]
    assert site.state.unknown_persons.get(unknown.global_id) is not None
    site.enrol(gallery_person(1, "Ann"))
    (named,) = site.take(track.shot(3))
    assert (named.status, named.name) == (CHANGED, "Ann")
    assert site.state.unknown_persons.get(unknown.global_id) is None, "they never were a stranger"
    site.leave(ANN)
    (taken,) = site.take(track.shot(4))
    assert (taken.status, taken.name, taken.person_id) == (CHANGED, "", "")
    assert taken.global_id == unknown.global_id


def test_later_evidence_takes_a_name_back() -> None:
    site = Site(gallery_person(1, "Ann"))
    track = walk(1)
    assert site.take(track.shot(0))[-1].name == "Ann"
    sightings = site.take(*(track.shot(number, vector=shot_of(5, number)) for number in (1, 2, 3)))
    assert [(sighting.status, sighting.name) for sighting in sightings][-1] == (CHANGED, "")
    assert site.take(track.end())[-1].name == ""


def test_a_change_of_what_is_said_of_a_person_is_news() -> None:
    site = Site(gallery_person(1, "Ann"))
    track = walk(1)
    site.take(track.shot(0))
    site.enrol(gallery_person(1, "Ann", revision=2, status="suspended"))
    (changed,) = site.take(track.shot(1))
    assert (changed.status, changed.name, changed.is_authorized) == (CHANGED, "Ann", False)


def test_the_next_epoch_is_decided_by_itself_and_comes_to_the_same() -> None:
    site = Site()
    track = walk(2)
    first = site.take(*(track.shot(number) for number in range(3)))[-1]
    second = site.take(*(track.shot(number + 1000, epoch=1) for number in range(3)), track.end())
    assert statuses(second)[0] == PROVISIONAL or second[0].global_id == first.global_id
    assert second[-1].epoch == 1
    assert second[-1].sighting_id != first.sighting_id
    assert second[-1].global_id == first.global_id


@pytest.mark.parametrize("lost", range(5))
def test_what_is_delivered_twice_is_no_news_and_changes_nothing(lost: int) -> None:
    """The process dies while it stores the state of one event, or before its offset is kept."""
    events = [*walk(1).whole(), *walk(2, "hall").whole()]
    calm = Site(gallery_person(1, "Ann"))
    calm.take(*events)

    site = Site(gallery_person(1, "Ann"))
    site.take(*events[:lost])
    site.take(events[lost], stored=False)
    site.restart()
    site.take(*events[max(0, lost - 2) :])
    assert site.changelog.keys() == calm.changelog.keys()
    for key, value in calm.changelog.items():
        if key.startswith(b"p|"):
            assert site.changelog[key] == value
    news = [sighting for sighting in site.said if not sighting.again]
    assert all(sighting in calm.said for sighting in news), (
        "the surer word of later shots came as news"
    )
    assert {sighting.track_id: sighting for sighting in news} == {
        sighting.track_id: sighting for sighting in calm.said
    }


def test_a_track_that_is_delivered_again_after_its_end_is_not_decided_again() -> None:
    site = Site()
    events = walk(2).whole()
    ended = site.take(*events)[-1]
    before = dict(site.changelog)
    repeated = site.take(*events)
    assert [sighting.again for sighting in repeated] == [True] * len(events)
    assert {(sighting.sighting_id, sighting.status) for sighting in repeated} == {
        (ended.sighting_id, ended.status)
    }
    assert site.changelog == before


def test_a_track_of_a_replayed_film_is_decided_again() -> None:
    site = Site()
    track = walk(1)
    assert site.take(*track.whole())[-1].name == ""
    site.enrol(gallery_person(1, "Ann"))
    replayed = [track.shot(number) for number in range(3)]
    for event in replayed:
        event.observation.frame.offset += 10_000
    assert site.take(*replayed, track.end())[-1].name == "Ann"


def test_tracks_whose_end_was_lost_are_forgotten() -> None:
    site = Site()
    lost = walk(1)
    elsewhere = walk(2, "hall")
    site.take(lost.shot(0), elsewhere.shot(0))
    site.take(walk(3, at_s=86_399).shot(0))
    assert track_state_key("site", lost.track_id) in site.changelog
    site.take(walk(4, at_s=86_401).shot(0))
    assert site.state.track(lost.track_id) is None
    assert track_state_key("site", lost.track_id) not in site.changelog
    assert site.state.track(elsewhere.track_id) is not None, "its camera has a clock of its own"


def test_a_track_that_may_be_delivered_again_is_not_forgotten() -> None:
    site = Site()
    early = walk(1)
    site.redelivered_from = 2
    site.take(*early.whole(), walk(2, at_s=3600).shot(0))
    assert site.state.track(early.track_id) is not None, "its offsets from 2 on are open"
    site.restart()
    site.take(early.shot(2), early.end(), walk(2, at_s=3600).shot(0))
    assert site.state.track(early.track_id) is not None, "they have come again, and may again"
    site.redelivered_from = 10
    site.take(walk(2, at_s=3600).shot(1))
    assert site.state.track(early.track_id) is None


def test_a_vector_of_another_length_is_refused_and_changes_nothing() -> None:
    site = Site(gallery_person(1, "Ann"))
    with pytest.raises(PoisonRecord) as caught:
        site.take(walk(1).shot(0, vector=face(1)[:64]))
    assert caught.value.reason == "bad_dimension"
    assert site.changelog == {}


def test_the_shots_of_an_epoch_are_bounded() -> None:
    site = Site()
    track = walk(1)
    site.take(*(track.shot(number) for number in range(MAX_OBSERVATIONS + 5)))
    state = site.state.track(track.track_id)
    assert state is not None
    assert len(state.shots) == MAX_OBSERVATIONS


def test_a_stranger_keeps_the_looks_that_differ_most() -> None:
    person = pb.UnknownPerson(global_id=1, site_id="site")
    vectors = [shot_of(1, 0, light=light) for light in range(MAX_TEMPLATES)]
    for rank, vector in enumerate(vectors):
        person = with_template(
            person,
            pb.Template(
                template_id=str(rank), pack=PACK, vector=encode_embedding(vector), quality=1
            ),
        )
    same = pb.Template(
        template_id="same", pack=PACK, vector=encode_embedding(vectors[0]), quality=0.5
    )
    person = with_template(person, same)
    assert [template.template_id for template in person.templates] == [
        str(rank) for rank in range(MAX_TEMPLATES)
    ]
    other = pb.Template(template_id="new", pack=PACK, vector=encode_embedding(face(1)), quality=1)
    assert len(with_template(person, other).templates) == MAX_TEMPLATES


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=8
    ),
    st.randoms(use_true_random=False),
)
def test_a_restart_anywhere_changes_nothing(
    walks: list[tuple[int, int, int]], chance: random.Random
) -> None:
    events = []
    for rank, (person, camera, shots) in enumerate(walks):
        events += walk(person, f"camera-{camera}", rank * 60).whole(shots)
    calm, shaken = Site(gallery_person(1, "Ann")), Site(gallery_person(1, "Ann"))
    for event in events:
        calm.take(event)
        if chance.random() < 0.3:
            shaken.take(event, stored=False)
        if chance.random() < 0.3:
            shaken.restart()
        shaken.take(event)
    assert shaken.changelog == calm.changelog
    named = {sighting.track_id: sighting.name for sighting in shaken.said if sighting.name}
    assert set(named.values()) <= {"Ann"}
    ended = [sighting for sighting in calm.said if sighting.status == ENDED]
    assert len(ended) == len({sighting.track_id for sighting in ended}) == len(walks)


def test_changes_say_what_goes() -> None:
    changes = Changes(tracks={"a": None})
    assert list(changes.records("site")) == [(track_state_key("site", "a"), None)]
