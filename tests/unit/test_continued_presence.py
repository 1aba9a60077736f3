"""A new motion event while somebody stays is no new access."""

from schemas import ids
from schemas import sightline_pb2 as pb
from tests.match_support import SECOND_US, START_US, Site, Walk, gallery_person


class Stay(Walk):
    """A track of Ann in an event of its own, at a place."""

    def __init__(self, at_s: float, left: float = 10, camera: str = "desk") -> None:
        super().__init__(1, camera, "site", at_s)
        self.left = left

    def seen(self, number: int) -> pb.FaceEvent:
        event = self.shot(number)
        event.observation.track_box.CopyFrom(
            pb.Box(x1=self.left, y1=10, x2=self.left + 100, y2=310)
        )
        return event

    def all(self, *, is_in_sight: bool = True) -> list[pb.FaceEvent]:
        end = self.end()
        end.track_ended.in_sight = is_in_sight
        return [*(self.seen(number) for number in range(3)), end]


def continued(*stays: Stay) -> list[str]:
    """The sighting whose row each of the stays continues."""
    site = Site(gallery_person(1, "Ann"))
    for stay in stays:
        site.take(*stay.all())
    assert {site.last(stay).name for stay in stays} == {"Ann"}
    return [site.last(stay).continues for stay in stays]


def test_who_stays_has_one_row_until_the_settled_time_is_over() -> None:
    stays = [Stay(at_s) for at_s in (0, 100, 200, 299, 320)]
    first = ids.sighting_id(stays[0].track_id, 0)
    assert continued(*stays) == ["", first, first, first, ""]


def test_who_was_elsewhere_meanwhile_has_come_again() -> None:
    assert continued(Stay(0), Stay(100, left=400)) == ["", ""]
    assert continued(Stay(0), Stay(100, camera="door")) == ["", ""]


def test_who_walks_on_while_an_event_is_cut_has_one_row() -> None:
    first, second = Stay(0), Stay(6, left=400)
    assert continued(first, second) == ["", ids.sighting_id(first.track_id, 0)]


def test_who_left_and_comes_back_by_the_same_way_has_come_again() -> None:
    site = Site(gallery_person(1, "Ann"))
    first, second = Stay(0), Stay(100)
    site.take(*first.all(is_in_sight=False), *second.all())
    assert site.last(second).continues == ""


def test_a_second_track_of_one_event_is_no_stay() -> None:
    site = Site(gallery_person(1, "Ann"))
    first, second = Stay(0), Stay(100)
    events = [*first.all(), *second.all()]
    for event in events:
        inner = event.observation if event.HasField("observation") else event.track_ended
        inner.motion_event_id = ids.motion_event_id("desk", START_US + SECOND_US)
    site.take(*events)
    assert site.last(second).continues == ""
