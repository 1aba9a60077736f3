"""Two tracks of one camera at one moment are two people: who is who then, and when it is known."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import ids
from schemas import sightline_pb2 as pb
from tests.match_support import Site, Walk, gallery_person, shot_of

CONFIRMED, CHANGED, ENDED = pb.Sighting.CONFIRMED, pb.Sighting.CHANGED, pb.Sighting.ENDED


class Seen(Walk):
    """A track by a number of its own, in the motion event of all."""

    def __init__(self, number: int, person: int, at_s: float = 0.0, camera: str = "door") -> None:
        super().__init__(person, camera, "site", at_s)
        self.number = number
        self.track_id = ids.track_id(camera, self.start_us, number)

    def _mine(self, event: pb.FaceEvent) -> pb.FaceEvent:
        inner = event.observation if event.HasField("observation") else event.track_ended
        inner.track_number = self.number
        inner.motion_event_id = ids.motion_event_id(self.camera, 1)
        return event

    def seen(self, number: int, likeness: float = 0.9) -> pb.FaceEvent:
        return self._mine(self.shot(number, likeness=likeness))

    def over(self, after_s: float) -> pb.FaceEvent:
        return self._mine(self.end(after_s))


def names(site: Site, *walks: Walk) -> list[str]:
    return [site.last(walk).name for walk in walks]


def test_the_better_evidence_is_the_person_and_the_other_loses_the_name() -> None:
    site = Site(gallery_person(1, "Ann"))
    alike, ann = Seen(1, 1), Seen(2, 1, 0.1)
    site.take(*(alike.seen(number, 0.65) for number in range(3)))
    assert names(site, alike) == ["Ann"]
    sightings = site.take(ann.seen(0))
    assert [(sighting.track_number, sighting.status, sighting.name) for sighting in sightings] == [
        (1, CHANGED, ""), (2, CONFIRMED, "Ann"),
    ]  # fmt: skip
    assert sightings[0].global_id == 0
    assert "another track" in sightings[0].reason
    ended = site.take(alike.over(3), ann.over(3))
    assert [(sighting.status, sighting.global_id, sighting.name) for sighting in ended] == [
        (ENDED, 0, ""), (ENDED, sightings[1].global_id, "Ann"),
    ]  # fmt: skip
    assert not [key for key in site.changelog if key.startswith(b"p|")], "nobody new was met"


def test_the_worse_evidence_stays_provisional() -> None:
    site = Site(gallery_person(1, "Ann"))
    ann, alike = Seen(1, 1), Seen(2, 1, 0.1)
    site.take(ann.seen(0), *(alike.seen(number, 0.65) for number in range(3)))
    site.take(ann.seen(1), alike.over(2), ann.over(3))
    assert names(site, ann, alike) == ["Ann", ""]
    assert site.last(alike).global_id == 0
    assert site.last(alike).candidate == site.last(ann).person_id


def test_a_second_track_of_a_stranger_is_no_second_stranger() -> None:
    site = Site()
    first, second = Seen(1, 5), Seen(2, 5, 0.1)
    for number in range(3):
        site.take(first.seen(number), second.seen(number))
    site.take(first.over(2), second.over(2))
    assert site.last(first).global_id == ids.global_id(first.track_id)
    assert site.last(second).global_id == 0
    assert len([key for key in site.changelog if key.startswith(b"p|")]) == 1


def test_two_people_side_by_side_are_themselves() -> None:
    site = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
    walks = [Seen(1, 1), Seen(2, 2), Seen(3, 7, 0.2), Seen(4, 8, 0.2)]
    for number in range(3):
        site.take(*(walk.seen(number) for walk in walks))
    site.take(*(walk.over(2) for walk in walks))
    assert names(site, *walks) == ["Ann", "Bea", "", ""]
    assert len({site.last(walk).global_id for walk in walks} - {0}) == 4


def test_a_track_found_again_waits_until_the_lost_one_is_over() -> None:
    """The end of a lost track is told `lost_seconds` later than the person's new track begins."""
    site = Site(gallery_person(1, "Ann"))
    before, after = Seen(1, 1), Seen(2, 1, 2.0)
    site.take(before.seen(0), before.seen(1))
    sightings = site.take(after.seen(0), after.seen(1))
    assert [(sighting.status, sighting.name) for sighting in sightings] == [
        (pb.Sighting.PROVISIONAL, "")
    ]
    assert "may not be over" in sightings[0].reason
    sightings = site.take(before.over(0.9))
    assert [(sighting.track_number, sighting.status, sighting.name) for sighting in sightings] == [
        (2, CONFIRMED, "Ann"), (1, ENDED, "Ann"),
    ]  # fmt: skip
    assert site.take(after.over(1.0))[-1].name == "Ann"


def test_a_track_that_was_there_all_along_keeps_the_name() -> None:
    """It was settled, so it gave no shots, but it was in the picture."""
    site = Site(gallery_person(1, "Ann"))
    settled, other = Seen(1, 1), Seen(2, 1, 2.0)
    site.take(settled.seen(0), settled.seen(1), other.seen(0, 0.7))
    sightings = site.take(settled.over(5), other.over(1))
    assert [(sighting.track_number, sighting.status, sighting.name) for sighting in sightings] == [
        (1, ENDED, "Ann"), (2, ENDED, ""),
    ]  # fmt: skip


def test_a_track_that_is_over_loses_the_name_to_better_evidence() -> None:
    site = Site(gallery_person(1, "Ann"))
    alike, ann = Seen(1, 1), Seen(2, 1, 0.5)
    site.take(*(alike.seen(number, 0.65) for number in range(3)), ann.seen(0, 0.3), alike.over(2))
    assert names(site, alike) == ["Ann"]
    sightings = site.take(*(ann.seen(number, 0.95) for number in range(1, 4)))
    assert (alike.number, CHANGED, 0) in [
        (sighting.track_number, sighting.status, sighting.global_id) for sighting in sightings
    ]
    assert names(site, alike, ann) == ["", "Ann"]
    assert site.take(alike.over(2))[-1].status == ENDED, "delivered again it still is over"


def test_who_follows_is_no_second_person_at_once() -> None:
    site = Site(gallery_person(1, "Ann"))
    first, second = Seen(1, 1), Seen(2, 1, 10.0)
    site.take(first.seen(0), first.over(3), second.seen(0), second.over(3))
    assert names(site, first, second) == ["Ann", "Ann"]


def test_other_cameras_and_other_events_do_not_matter() -> None:
    site = Site(gallery_person(1, "Ann"))
    door, hall = Seen(1, 1), Seen(1, 1, camera="hall")
    later = Walk(1, "door", "site", 1.0)  # of another motion event, so the first is over
    site.take(door.seen(0), hall.seen(0), later.shot(0))
    assert names(site, door, hall, later) == ["Ann", "Ann", "Ann"]


def test_whoever_counts_anew_has_forgotten_the_tracks_before() -> None:
    """A vision worker died within the event: nobody will ever say that its tracks are over."""
    site = Site(gallery_person(1, "Ann"))
    orphan, anew = Seen(1, 1), Seen(1, 1, 2.0)
    site.take(orphan.seen(0), anew.seen(0))
    assert names(site, orphan, anew) == ["Ann", "Ann"]


def test_a_track_keeps_its_person_while_its_next_epoch_is_open() -> None:
    site = Site(gallery_person(1, "Ann"))
    ann, alike = Seen(1, 1), Seen(2, 1, 1.0)
    site.take(*(ann.seen(number) for number in range(3)))
    turned = ann.seen(10, 0.5)
    turned.observation.epoch = 1
    site.take(turned)
    assert site.last(ann).status == pb.Sighting.PROVISIONAL
    site.take(*(alike.seen(number, 0.65) for number in range(30, 33)))
    assert names(site, alike) == [""]


def test_one_who_lets_go_makes_room_at_once() -> None:
    site = Site(gallery_person(1, "Ann"))
    wrong, ann = Seen(1, 1), Seen(2, 1, 0.1)
    site.take(wrong.seen(0, 0.95), *(ann.seen(number, 0.65) for number in range(3)))
    assert names(site, wrong, ann) == ["Ann", ""]
    others = []
    for number in (1, 2, 3):  # the first track turns out to be somebody else
        event = wrong.seen(number)
        event.observation.embedding = shot_of(9, number).tobytes()
        others += site.take(event)
    assert (2, CONFIRMED, "Ann") in [
        (sighting.track_number, sighting.status, sighting.name) for sighting in others
    ]


tracks = st.lists(
    st.tuples(
        st.integers(1, 3),  # of three faces
        st.sampled_from([0.0, 0.1, 0.5, 3.0, 8.0]),  # when
        st.sampled_from([0.6, 0.7, 0.8, 0.9]),  # how well seen
        st.integers(1, 4),  # shots
    ),
    min_size=2,
    max_size=5,
)


def events_of(walks: list[tuple[int, float, float, int]]) -> list[tuple[Seen, list[pb.FaceEvent]]]:
    begun = sorted(enumerate(walks), key=lambda item: (item[1][1], item[0]))
    tracks_with_events = []
    for number, (_, (person, at_s, likeness, count)) in enumerate(begun, 1):
        walk = Seen(number, person, at_s)
        shots = [walk.seen(shot, likeness) for shot in range(count)]
        tracks_with_events.append((walk, [*shots, walk.over(0.3 * count + 1.0)]))
    return tracks_with_events


def shuffled(lists: list[list[pb.FaceEvent]], chance: random.Random) -> list[pb.FaceEvent]:
    """The events of several tracks in any order, those of each in theirs."""
    remaining = [list(events) for events in lists]
    events = []
    while any(remaining):
        events.append(chance.choice([some for some in remaining if some]).pop(0))
    return events


def one_person_twice(site: Site, tracks_with_events: list[tuple[Seen, list[pb.FaceEvent]]]) -> bool:
    """Whether two tracks that were there at once are one person."""
    for (track, events), (other, other_events) in itertools.combinations(tracks_with_events, 2):
        ends = events[-1].track_ended, other_events[-1].track_ended
        first, second = sorted(ends, key=lambda end: end.started_at_us)
        at_once = first.ended_at_us >= second.started_at_us
        if at_once and 0 != site.last(track).global_id == site.last(other).global_id:
            return True
    return False


@pytest.mark.slow
@settings(max_examples=60)
@given(tracks, st.randoms(use_true_random=False))
def test_no_two_tracks_of_a_moment_end_as_one_person(
    walks: list[tuple[int, float, float, int]], chance: random.Random
) -> None:
    site = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
    tracks_with_events = events_of(walks)
    site.take(*shuffled([events for _, events in tracks_with_events], chance))
    assert not one_person_twice(site, tracks_with_events)


@pytest.mark.slow
@settings(max_examples=60)
@given(tracks, st.randoms(use_true_random=False))
def test_names_do_not_depend_on_the_order_of_shots(
    walks: list[tuple[int, float, float, int]], chance: random.Random
) -> None:
    """Where all shots come before the ends; with ends between them less is known at a time."""
    tracks_with_events = events_of([walk for walk in walks if walk[0] != 3])
    shots = [events[:-1] for _, events in tracks_with_events]
    ends = [events[-1] for _, events in tracks_with_events]
    names_by_order = []
    for _ in range(2):
        site = Site(gallery_person(1, "Ann"), gallery_person(2, "Bea"))
        site.take(*shuffled(shots, chance), *ends)
        names_by_order.append(names(site, *(walk for walk, _ in tracks_with_events)))
    assert names_by_order[0] == names_by_order[1]


@pytest.mark.slow
@settings(max_examples=40)
@given(tracks, st.randoms(use_true_random=False))
def test_a_crash_before_the_state_is_stored_changes_nothing(
    walks: list[tuple[int, float, float, int]], chance: random.Random
) -> None:
    events = shuffled([events for _, events in events_of(walks)], chance)
    calm, shaken = (Site(gallery_person(1, "Ann"), gallery_person(2, "Bea")) for _ in range(2))
    for event in events:
        calm.take(event)
        if chance.random() < 0.5:
            shaken.take(event, stored=False)
            shaken.restart()
        shaken.take(event)
    assert shaken.changelog == calm.changelog


@pytest.mark.slow
@settings(max_examples=40)
@given(tracks, st.randoms(use_true_random=False))
def test_a_crash_before_or_after_storing_loses_nobody_and_doubles_nobody(
    walks: list[tuple[int, float, float, int]], chance: random.Random
) -> None:
    tracks_with_events = events_of(walks)
    calm, site = (Site(gallery_person(1, "Ann"), gallery_person(2, "Bea")) for _ in range(2))
    for event in shuffled([events for _, events in tracks_with_events], chance):
        calm.take(event)
        if chance.random() < 0.5:
            site.take(event, stored=chance.random() < 0.5)
            site.restart()
        site.take(event)
    assert site.changelog == calm.changelog
    assert not one_person_twice(site, tracks_with_events)
    for walk, events in tracks_with_events:
        state = site.state.track(walk.track_id)
        assert state is not None
        assert state.decided.status == ENDED
        assert len(state.shots) == len(events) - 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_three_tracks_of_one_face_the_best_has_it(order: tuple[int, ...]) -> None:
    site = Site(gallery_person(1, "Ann"))
    walks = [Seen(number, 1, number / 10) for number in (1, 2, 3)]
    likeness = (0.7, 0.95, 0.8)
    for number in range(3):
        site.take(*(walks[number].seen(number, likeness[number]) for number in order))
    site.take(*(walk.over(3) for walk in walks))
    assert names(site, *walks) == ["", "Ann", ""]
