"""A matcher forgets who was erased: tracks, looks, and what the tracks of others say of them."""

from ops.erasure.row_deletion import erasure_fact
from schemas import ids
from schemas import sightline_pb2 as pb
from tests.match_support import Site, Walk, gallery_person


def walk(person: int, at_s: float = 0.0) -> Walk:
    return Walk(person, "door", "site", at_s)


def erase(site: Site, person: int, *tracks: str) -> None:
    """As the topics tell it, and as the service does it then."""
    key, value = erasure_fact(person, tracks)
    site.tell(key, pb.Fact.FromString(value))
    changes = site.state.erased()
    for entry, stored in changes.records("site"):
        if stored is None:
            site.changelog.pop(entry, None)
        else:
            site.changelog[entry] = stored
    site.state.apply(changes)


def mentioned(site: Site, person: int, track: Walk) -> bool:
    """Whether the changelog has anything of somebody."""
    words = (str(person).encode(), track.track_id.encode())
    entries = [key + b"\0" + value for key, value in site.changelog.items()]
    return any(word in entry for word in words for entry in entries)


def test_nothing_is_left_of_an_enrolled_person_who_was_erased() -> None:
    ada = gallery_person(1, "Ada")
    site = Site(ada)
    mine, other = walk(1), walk(2, 60)
    site.take(*mine.whole(), *other.whole())
    person = ids.global_id(ada.person_id)
    assert mentioned(site, person, mine)
    site.leave(ada.person_id)
    erase(site, person)
    assert not mentioned(site, person, mine)
    assert ada.person_id.encode() not in b"".join(site.changelog.values()), "nor as a candidate"
    assert site.state.track(mine.track_id) is None
    assert site.state.track(other.track_id) is not None
    site.restart()
    assert site.state.track(other.track_id) is not None


def test_nothing_comes_of_the_rest_of_a_track_that_was_erased() -> None:
    site = Site()
    mine = walk(3)
    site.take(*(mine.shot(number) for number in range(4)))
    person = site.last(mine).global_id
    assert person == ids.global_id(mine.track_id)
    erase(site, person)
    assert site.take(mine.shot(4), mine.shot(5), mine.end()) == []
    assert site.changelog == {}
    # After a restart the id alone says so.
    site.restart()
    assert site.take(mine.shot(6)) == []
    # Who comes again is somebody new.
    returned = walk(3, 900)
    site.take(*returned.whole())
    assert site.last(returned).global_id not in (0, person)


def test_a_track_that_people_have_given_to_somebody_goes_with_them() -> None:
    site = Site()
    mine, assigned = walk(4), walk(5, 60)
    site.take(*mine.whole(), *assigned.whole())
    erase(site, site.last(mine).global_id, assigned.track_id)
    assert site.state.track(assigned.track_id) is None
    assert site.take(assigned.shot(7)) == []
