"""One event after another: what is said of a track, and what a site remembers."""

import random
from collections.abc import Iterable
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.match.state import Changes, track_key
from processors.match.step import MAX_SHOTS
from processors.match.strangers import MAX_TEMPLATES, with_template
from processors.match.vectors import bytes_of, vector_of
from schemas import ids
from schemas import sightline_pb2 as pb
from sightline.identity.evidence import Vector
from sightline.runtime.errors import InvalidRecord
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


def statuses(said: Iterable[pb.Sighting]) -> list[int]:
    return [one.status for one in said]


def test_a_track_is_provisional_then_confirmed_then_ended_once_each() -> None:
    site = Site(gallery_person(1, "Ann"))
    ann = walk(1)
    said = site.take(*(ann.shot(number, likeness=0.5) for number in range(5)), ann.end())
    assert statuses(said) == [PROVISIONAL, CONFIRMED, ENDED]
    assert {one.sighting_id for one in said} == {ids.sighting_id(ann.track_id, 0)}
    first, confirmed, ended = said
    assert (first.global_id, first.name, first.template) == (0, "", b"")
    assert first.runner_up == ANN
    assert first.runner_up_score == first.score
    assert (confirmed.person_id, confirmed.name) == (ANN, "Ann")
    assert confirmed.global_id == ids.global_id(ANN)
    assert np.linalg.norm(vector_of(confirmed.template)) == pytest.approx(1, abs=1e-5)
    assert (ended.name, ended.shots, ended.template) == ("Ann", 5, b"")
    assert ended.decided_at_us == confirmed.decided_at_us == ann.start_us + 600_000


def test_one_shot_that_is_sure_is_confirmed_at_once() -> None:
    site = Site(gallery_person(1, "Ann"))
    assert statuses(site.take(walk(1).shot(0))) == [CONFIRMED]


def test_a_face_turned_away_counts_only_where_there_is_no_other() -> None:
    def turned(one: Walk, number: int) -> pb.FaceEvent:
        shot = one.shot(number, likeness=0.42)
        shot.observation.quality.frontality = 0.1
        return shot

    site, away, back = Site(gallery_person(1, "Ann")), walk(1, "yard"), walk(1)
    said = site.take(turned(away, 0), turned(away, 1), away.end())
    assert statuses(said) == [PROVISIONAL, ENDED]
    assert (said[-1].shots, said[-1].candidate, said[-1].name) == (2, ANN, "")
    assert 0.3 < said[-1].candidate_score < said[-1].threshold
    said = site.take(turned(back, 0), turned(back, 1), back.shot(2))
    assert statuses(said) == [PROVISIONAL, CONFIRMED]
    assert (said[-1].shots, said[-1].name) == (1, "Ann")


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
    again = site.take(*walk(2, "hall", 60).whole())[-1]
    assert (again.global_id, again.person_id, again.name) == (founded.global_id, "", "")
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
    said = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert [(one.track_id, one.status, one.name) for one in said] == [
        (late.track_id, CONFIRMED, "Ann"),
        (early.track_id, CHANGED, "Ann"),
        (late.track_id, ENDED, "Ann"),
    ]
    named = said[1]
    assert named.sighting_id == before.sighting_id
    assert named.decided_at_us == before.decided_at_us, "they were there then, not now"
    assert named.score >= named.threshold
    assert site.state.strangers.get(before.global_id) is None, "they never were a stranger"
    site.restart()
    assert site.take(early.end())[-1].name == "Ann"


def test_a_later_track_names_a_glimpse_that_was_nobody() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(1, "yard"), walk(1, "door", 60)
    glimpse = [early.shot(number, vector=_poor(1, number)) for number in range(2)]
    before = site.take(*glimpse, early.end())
    assert statuses(before) == [PROVISIONAL, ENDED]
    assert before[-1].global_id == 0
    site.restart()
    said = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert {(one.track_id, one.status, one.name) for one in said if one.name} == {
        (late.track_id, CONFIRMED, "Ann"),
        (early.track_id, CHANGED, "Ann"),
        (late.track_id, ENDED, "Ann"),
    }
    named = next(one for one in said if one.track_id == early.track_id)
    assert named.decided_at_us == before[-1].decided_at_us
    assert named.score >= named.threshold
    assert vector_of(named.template).shape == (DIMENSION,)
    assert site.take(early.end())[-1].name == "Ann"


def test_a_glimpse_of_somebody_else_stays_nobody() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(2, "yard"), walk(1, "door", 60)
    site.take(*(early.shot(number) for number in range(2)), early.end())
    said = site.take(*(late.shot(number) for number in range(3)), late.end())
    assert {one.track_id for one in said} == {late.track_id}


def test_a_glimpse_beside_the_person_stays_nobody() -> None:
    site, ann, late = Site(gallery_person(1, "Ann")), walk(1), walk(1, "hall", 60)
    double = walk(1)
    double.track_id = ids.track_id("door", double.start_us, 9)
    site.take(*(ann.shot(number) for number in range(3)))
    glimpse = [double.shot(number, vector=_poor(1, number)) for number in range(2)]
    site.take(*glimpse, double.end(), ann.end())
    said = site.take(*(_between(late, number) for number in range(3)), late.end())
    assert {one.track_id for one in said} == {late.track_id}


def test_a_stranger_whom_somebody_was_beside_is_not_that_person() -> None:
    site, early, late = Site(gallery_person(1, "Ann")), walk(1), walk(1, "hall", 60)
    beside = Walk(1, "door", "site")
    beside.track_id = ids.track_id("door", beside.start_us, 9)
    site.take(*(beside.shot(number) for number in range(3)))
    for number in range(3):  # much like each other, and less like Ann than would be a double of her
        site.take(early.shot(number, vector=shot_of(2, number, 5, likeness=0.9)))
    before = site.take(early.end(), beside.end())
    stranger = next(one for one in before if one.track_id == early.track_id)
    assert stranger.global_id == ids.global_id(early.track_id)
    both = [shot_of(1, number, 7) + shot_of(2, number, 5) for number in range(3)]
    shots = [late.shot(n, vector=one / np.linalg.norm(one)) for n, one in enumerate(both)]
    said = site.take(*shots, late.end())
    assert {one.track_id for one in said} == {late.track_id}
    assert said[-1].name == "Ann"


def test_two_shots_alone_make_no_id() -> None:
    said = Site().take(*walk(2).whole(shots=2))
    assert statuses(said) == [PROVISIONAL, ENDED]
    assert [one.global_id for one in said] == [0, 0]


def test_a_name_is_given_when_the_person_enrols_and_taken_when_they_are_removed() -> None:
    site = Site()
    track = walk(1)
    stranger = site.take(*(track.shot(number) for number in range(3)))[-1]
    assert site.state.strangers.get(stranger.global_id) is not None
    site.enrol(gallery_person(1, "Ann"))
    (named,) = site.take(track.shot(3))
    assert (named.status, named.name) == (CHANGED, "Ann")
    assert site.state.strangers.get(stranger.global_id) is None, "they never were a stranger"
    site.leave(ANN)
    (taken,) = site.take(track.shot(4))
    assert (taken.status, taken.name, taken.person_id) == (CHANGED, "", "")
    assert taken.global_id == stranger.global_id


def test_later_evidence_takes_a_name_back() -> None:
    site = Site(gallery_person(1, "Ann"))
    track = walk(1)
    assert site.take(track.shot(0))[-1].name == "Ann"
    said = site.take(*(track.shot(number, vector=shot_of(5, number)) for number in (1, 2, 3)))
    assert [(one.status, one.name) for one in said][-1] == (CHANGED, "")
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
    news = [one for one in site.said if not one.again]
    assert all(one in calm.said for one in news), "the surer word of later shots came as news"
    assert {one.track_id: one for one in news} == {one.track_id: one for one in calm.said}


def test_a_track_that_is_delivered_again_after_its_end_is_not_decided_again() -> None:
    site = Site()
    events = walk(2).whole()
    ended = site.take(*events)[-1]
    before = dict(site.changelog)
    told = site.take(*events)
    assert [one.again for one in told] == [True] * len(events)
    assert {(one.sighting_id, one.status) for one in told} == {(ended.sighting_id, ended.status)}
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
    site.take(walk(3, at_s=599).shot(0))
    assert track_key("site", lost.track_id) in site.changelog
    site.take(walk(4, at_s=601).shot(0))
    assert site.state.track(lost.track_id) is None
    assert track_key("site", lost.track_id) not in site.changelog
    assert site.state.track(elsewhere.track_id) is not None, "its camera has a clock of its own"


def test_a_track_that_may_be_delivered_again_is_not_forgotten() -> None:
    site = Site()
    early = walk(1)
    site.settled = 2
    site.take(*early.whole(), walk(2, at_s=3600).shot(0))
    assert site.state.track(early.track_id) is not None, "its offsets from 2 on are open"
    site.restart()
    site.take(early.shot(2), early.end(), walk(2, at_s=3600).shot(0))
    assert site.state.track(early.track_id) is not None, "they have come again, and may again"
    site.settled = 10
    site.take(walk(2, at_s=3600).shot(1))
    assert site.state.track(early.track_id) is None


def test_a_vector_of_another_length_is_refused_and_changes_nothing() -> None:
    site = Site(gallery_person(1, "Ann"))
    with pytest.raises(InvalidRecord) as caught:
        site.take(walk(1).shot(0, vector=face(1)[:64]))
    assert caught.value.reason == "bad_dimension"
    assert site.changelog == {}


def test_the_shots_of_an_epoch_are_bounded() -> None:
    site = Site()
    track = walk(1)
    site.take(*(track.shot(number) for number in range(MAX_SHOTS + 5)))
    kept = site.state.track(track.track_id)
    assert kept is not None
    assert len(kept.shots) == MAX_SHOTS


def test_a_stranger_keeps_the_looks_that_differ_most() -> None:
    person = pb.UnknownPerson(global_id=1, site_id="site")
    looks = [shot_of(1, 0, light=light) for light in range(MAX_TEMPLATES)]
    for rank, look in enumerate(looks):
        person = with_template(
            person, pb.Template(template_id=str(rank), pack=PACK, vector=bytes_of(look), quality=1)
        )
    same = pb.Template(template_id="same", pack=PACK, vector=bytes_of(looks[0]), quality=0.5)
    person = with_template(person, same)
    assert [one.template_id for one in person.templates] == [
        str(rank) for rank in range(MAX_TEMPLATES)
    ]
    other = pb.Template(template_id="new", pack=PACK, vector=bytes_of(face(1)), quality=1)
    assert len(with_template(person, other).templates) == MAX_TEMPLATES


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
    named = {one.track_id: one.name for one in shaken.said if one.name}
    assert set(named.values()) <= {"Ann"}
    ended = [one for one in calm.said if one.status == ENDED]
    assert len(ended) == len({one.track_id for one in ended}) == len(walks)


def test_changes_say_what_goes() -> None:
    gone = Changes(tracks={"a": None})
    assert list(gone.records("site")) == [(track_key("site", "a"), None)]
