"""Fixtures: portraits, screens and furniture are no people who were there."""

from schemas import ids
from schemas import sightline_pb2 as pb
from tests.match_support import SECOND_US, START_US, Site, Walk, gallery_person

CONFIRMED, ENDED = pb.Sighting.CONFIRMED, pb.Sighting.ENDED
UNIDENTIFIED, FIXTURE = pb.Sighting.UNIDENTIFIED, pb.Sighting.FIXTURE

WALL = pb.Box(x1=300, y1=40, x2=360, y2=120)


class Seen(Walk):
    """A track with its place, in a motion event that others share."""

    def __init__(
        self, person: int, event_s: float, begin_s: float, moved: float, box: pb.Box = WALL
    ) -> None:
        super().__init__(person, "hall", "site", event_s + begin_s)
        self.event_id = ids.motion_event_id("hall", START_US + int(event_s * SECOND_US))
        self.moved, self.box = moved, box

    def seen(self, number: int) -> pb.FaceEvent:
        event = self.shot(number)
        event.observation.motion_event_id = self.event_id
        event.observation.moved = self.moved
        event.observation.track_box.CopyFrom(self.box)
        return event

    def over(self, after_s: float = 5.0, observations: int = 3) -> pb.FaceEvent:
        event = self.end(after_s)
        end = event.track_ended
        end.motion_event_id, end.observations, end.moved = self.event_id, observations, self.moved
        end.confirmed, end.width, end.height = True, 640, 360
        end.box.CopyFrom(self.box)
        return event

    def all(self) -> list[pb.FaceEvent]:
        return [*(self.seen(number) for number in range(3)), self.over()]


def ann() -> pb.GalleryPerson:
    return gallery_person(1, "Ann")


def test_the_person_who_walks_in_has_the_name_and_their_portrait_has_none() -> None:
    site = Site(ann())
    portrait, person = Seen(1, 0, 0, 0.0), Seen(1, 0, 5, 0.6, pb.Box(x1=10, y1=50, x2=90, y2=300))
    site.take(*(portrait.seen(number) for number in range(3)))
    assert site.last(portrait).name == "Ann", "nothing tells it from a person yet"
    site.take(*(person.seen(number) for number in range(3)))
    assert (site.last(person).status, site.last(person).name) == (CONFIRMED, "Ann")
    site.take(person.over(), portrait.over(20))
    assert (site.last(person).status, site.last(person).name) == (ENDED, "Ann")
    last = site.last(portrait)
    assert (last.status, last.global_id, last.is_picture) == (FIXTURE, 0, True)
    assert last.reason.startswith("a picture")


def test_a_portrait_takes_no_name_from_a_person_who_is_there() -> None:
    site = Site(ann())
    person = Seen(1, 0, 0, 0.6, pb.Box(x1=10, y1=50, x2=90, y2=300))
    portrait = Seen(1, 0, 0.2, 0.0)
    site.take(*(person.seen(number) for number in range(3)), portrait.seen(0), person.seen(3))
    site.take(portrait.seen(1), portrait.seen(2), person.over(), portrait.over(20))
    assert site.last(person).name == "Ann"
    assert site.last(portrait).status == FIXTURE


def test_a_portrait_whose_track_is_over_gives_its_name_back() -> None:
    site = Site(ann())
    portrait = Seen(1, 0, 0, 0.0)
    person = Seen(1, 0, 5, 0.6, pb.Box(x1=10, y1=50, x2=90, y2=300))
    site.take(*(portrait.seen(number) for number in range(3)), person.seen(0), portrait.over(20))
    site.take(person.seen(1), person.seen(2), person.over())
    assert site.last(person).name == "Ann"
    assert (site.last(portrait).status, site.last(portrait).is_picture) == (FIXTURE, True)
    assert site.state.fixtures["hall"].fixtures[0].is_picture


def test_a_known_picture_has_no_name_in_any_later_event() -> None:
    site = Site(ann())
    portrait, person = Seen(1, 0, 0, 0.0), Seen(1, 0, 5, 0.6, pb.Box(x1=10, y1=50, x2=90, y2=300))
    site.take(*(portrait.seen(number) for number in range(3)))
    site.take(*person.all(), portrait.over(20))
    site.restart()
    again = Seen(1, 100, 0, 0.0)
    assert {sighting.global_id for sighting in site.take(*again.all())} == {0}
    assert site.last(again).status == FIXTURE


def test_a_portrait_is_known_after_three_events_and_people_in_front_of_it_are_people() -> None:
    site = Site(ann())
    walks = [Seen(1, 100 * number, 0, 0.01) for number in range(5)]
    for walk in walks:
        site.take(*walk.all())
    statuses = [(site.last(walk).status, site.last(walk).name) for walk in walks]
    assert statuses == [(ENDED, "Ann")] * 3 + [(FIXTURE, "")] * 2
    assert [site.last(walk).events for walk in walks[3:]] == [3, 4]
    moving = Seen(1, 1000, 0, 0.5)
    site.take(*moving.all())
    assert site.last(moving).name == "Ann"


def test_furniture_is_logged_three_times_and_then_counted() -> None:
    site = Site()
    walks = [Seen(9, 100 * number, 0, 0.01) for number in range(5)]
    for walk in walks:
        site.take(walk.over(observations=0))
        site.take(walk.over(observations=0))  # delivered again
    statuses = [site.last(walk).status for walk in walks]
    assert statuses == [UNIDENTIFIED] * 3 + [FIXTURE] * 2


def test_what_moves_away_was_a_person() -> None:
    site = Site()
    for number in range(3):
        site.take(Seen(9, 100 * number, 0, 0.01).over(observations=0))
    site.take(Seen(9, 400, 0, 0.9).over(observations=0))
    back = Seen(9, 500, 0, 0.01)
    site.take(back.over(observations=0))
    assert site.last(back).status == UNIDENTIFIED


def test_a_person_at_another_place_every_time_is_no_furniture() -> None:
    site = Site()
    for number in range(8):
        left = 40 * number
        walk = Seen(9, 100 * number, 0, 0.01, pb.Box(x1=left, y1=40, x2=left + 60, y2=120))
        site.take(walk.over(observations=0))
        assert site.last(walk).status == UNIDENTIFIED


def test_the_places_of_a_camera_are_bounded() -> None:
    site = Site()
    for number in range(320):
        left = 100 * number
        box = pb.Box(x1=left, y1=40, x2=left + 60, y2=120)
        site.take(Seen(9, 100 * number, 0, 0.0, box).over(observations=0))
    assert len(site.state.fixtures["hall"].fixtures) == 32
    site.take(Seen(9, 100 * 320 + 8 * 86_400, 0, 0.0).over(observations=0))
    assert len(site.state.fixtures["hall"].fixtures) == 1, "a week later they are forgotten"
