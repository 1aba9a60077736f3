"""How two passes are compared: what goes together, and what is told of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ops.runs.diff import by_person, compare

T0 = datetime(2026, 11, 21, 10, tzinfo=UTC)
ANN, BEN, X, Y = 1, 2, 3, 4


def seen(key: str, person: int, start: float = 0, end: float = 10, **more: Any) -> dict[str, Any]:
    """A sighting on a track of a time, of one camera and event unless said otherwise."""
    row = {
        "id": key, "track_uuid": f"track {key}", "camera_id": "door", "motion_event_id": "event",
        "person_name": f"person {person}", "global_id": person, "access_status": "authorized",
        "timestamp": T0 + timedelta(seconds=start + 1), "snapshot_path": key, "score": 0.5,
        "first_seen": T0 + timedelta(seconds=start), "last_seen": T0 + timedelta(seconds=end),
    }  # fmt: skip
    return row | more


def kinds(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (one.kind, one.a and one.a["id"], one.b and one.b["id"]) for one in compare(ours, theirs)
    ]


def test_the_same_is_no_difference_wherever_its_picture_lies() -> None:
    assert compare([seen("1", ANN)], [seen("1", ANN, snapshot_path="runs/again/1")]) == []


def test_who_it_was_counts_more_than_what_it_rests_on() -> None:
    (named,) = compare([seen("1", ANN)], [seen("1", BEN, score=0.6)])
    assert (named.kind, named.changed) == ("name", ("person_name", "global_id", "score"))
    (rests,) = compare([seen("1", ANN)], [seen("1", ANN, score=0.6)])
    assert (rests.kind, rests.changed) == ("details", ("score",))


def test_a_person_on_another_track_of_that_moment_is_the_same_sighting() -> None:
    ours = [seen("1", ANN, 0, 10), seen("2", ANN, 20, 30), seen("3", BEN, 0, 10)]
    theirs = [seen("4", BEN, 1, 10), seen("5", ANN, 21, 30), seen("6", ANN, 1, 10)]
    assert kinds(ours, theirs) == [
        ("details", "1", "6"), ("details", "3", "4"), ("details", "2", "5")
    ]  # fmt: skip
    assert by_person(ours, theirs, compare(ours, theirs)) == []


def test_a_stranger_goes_with_the_only_other_who_was_there() -> None:
    assert kinds([seen("1", X)], [seen("2", Y, 1)]) == [("name", "1", "2")]
    two = [seen("2", Y, 1), seen("3", BEN, 1)]
    assert kinds([seen("1", X)], two) == [
        ("only in a", "1", None), ("only in b", None, "2"), ("only in b", None, "3")
    ]  # fmt: skip


def test_tracks_of_other_events_or_times_have_nothing_to_do_with_each_other() -> None:
    later = seen("2", ANN, 20, 30)
    elsewhere = seen("2", ANN, motion_event_id="other")
    for other in (later, elsewhere):
        found = kinds([seen("1", ANN)], [other])
        assert sorted(kind for kind, _a, _b in found) == ["only in a", "only in b"]
    counts = by_person([seen("1", ANN)], [later], compare([seen("1", ANN)], [later]))
    assert [(row["person"], row["a"], row["b"]) for row in counts] == [("person 1", 1, 1)]
