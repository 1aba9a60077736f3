"""Corrections: all logs follow at once, and whatever comes later is read through them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from schemas import sightline_pb2 as pb
from schemas.ids import global_id, sighting_id
from sightline.people.corrections import (
    forget,
    merge,
    name_person,
    reject_identity,
    resolve,
    split,
)
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sinks.access_log import AccessLog
from tests.sealed import PLAIN_AND_SEALED
from tests.stack.corrections_support import Logs
from tests.stack.sinks_support import World, new_world, write

pytestmark = [pytest.mark.stack, PLAIN_AND_SEALED]

CHANGED, ENDED = pb.Sighting.CHANGED, pb.Sighting.ENDED


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture
def logs(stack: Settings, world: World, tmp_path: Path) -> Logs:
    """X on tracks 0 and 100, Y on 200, Ann, who is enrolled, on 300; a picture of each."""
    logs = Logs(stack, world, tmp_path / "objects")
    ann = world.add_employee("Ann")
    logs.tell(
        world.motion(pb.MotionEvent.STARTED, 0),
        *(world.shot(0.5, start=start) for start in (0, 100, 200, 300)),
        world.sighting(stranger="x", decided=1, confidence=0.6),
        world.sighting(stranger="x", start=100, decided=101, confidence=0.7),
        world.sighting(stranger="y", start=200, decided=201, confidence=0.9),
        world.sighting(employee=ann, start=300, decided=301, confidence=0.8),
    )
    return logs


@pytest.fixture
def x(world: World) -> int:
    return world.sighting(stranger="x").global_id


@pytest.fixture
def y(world: World) -> int:
    return world.sighting(stranger="y").global_id


@pytest.fixture
def ann(world: World, logs: Logs) -> int:
    row = world.one("SELECT global_id FROM employees WHERE name = %s", f"Ann {world.id}")
    return int(row["global_id"])


def track(world: World, start: float) -> UUID:
    return UUID(world.track(start))


def unchanged_when_told_again(logs: Logs) -> None:
    """What comes after a correction makes the rows that the correction made of what was there."""
    logs.settle()
    before = logs.said()
    logs.tell_all_again()
    assert logs.said() == before


def test_a_merged_stranger_is_the_other_in_all_logs(logs: Logs, x: int, y: int) -> None:
    assert (logs.who(0), logs.who(200)) == ((x, "Unknown"), (y, "Unknown"))
    logs.correct(merge, x, y)
    assert {logs.who(start) for start in (0, 100, 200)} == {(y, "Unknown")}
    said = logs.said()
    assert [visit[4] for visit in said["visits"] if visit[1] == y] == [pytest.approx(0.9)]
    assert {person[0]: person[3] for person in said["persons"]}[y] == 3
    assert logs.correct(resolve, x) == y
    assert logs.person_fact(x).merged_into == y
    unchanged_when_told_again(logs)


def test_a_stranger_merged_into_somebody_enrolled_is_them(
    logs: Logs, world: World, x: int, ann: int
) -> None:
    name = f"Ann {world.id}"
    world.db.execute("UPDATE employees SET status = 'suspended' WHERE name = %s", (name,))
    logs.correct(merge, x, ann)
    assert (logs.who(0), logs.who(100)) == ((ann, name), (ann, name))
    statuses = {row[0]: row[4:] for row in logs.said()["access"]}
    assert statuses[world.track(0)] == ("unauthorized", False, True)
    assert statuses[world.track(300)] == ("authorized", True, False)  # as it was at that time
    logs.settle()
    assert all("/Ann_" in logs.pictures()[world.track(start)] for start in (0, 100, 300))
    assert len(list(logs.store.keys(""))) == 4
    world.db.execute("DELETE FROM employees WHERE name = %s", (name,))
    assert logs.correct(resolve, x) == ann


def test_a_merge_is_told_again_the_same(logs: Logs, x: int, y: int, ann: int) -> None:
    logs.correct(name_person, y, "Courier")
    logs.correct(merge, x, ann)
    unchanged_when_told_again(logs)


def test_chains_lead_to_the_last(logs: Logs, x: int, y: int, ann: int) -> None:
    logs.correct(merge, x, y)
    logs.correct(merge, y, ann)
    assert (logs.correct(resolve, x), logs.correct(resolve, y)) == (ann, ann)
    assert logs.person_fact(x).merged_into == ann
    for one, other, into in ((x, ann, ann), (y, x, ann), (ann, y, ann)):
        with pytest.raises(ConflictError, match=rf"merged into {into}|enrolled"):
            logs.correct(merge, one, other)


@pytest.mark.parametrize("correction", ["merge", "merge into", "name", "split", "forget"])
def test_whoever_was_merged_is_corrected_no_more(
    logs: Logs, world: World, x: int, y: int, correction: str
) -> None:
    logs.correct(merge, x, y)
    before = logs.said()
    with pytest.raises(ConflictError, match=f"{x} has been merged into {y}"):
        match correction:
            case "merge":
                logs.correct(merge, x, y)
            case "merge into":
                logs.correct(merge, y, x)
            case "name":
                logs.correct(name_person, x, "Courier")
            case "split":
                logs.correct(split, x, [track(world, 0)])
            case "forget":
                logs.correct(forget, x)
    assert logs.said() == before


def test_what_cannot_be_merged(logs: Logs, x: int, y: int, ann: int) -> None:
    for one, other, error, why in (
        (x, x, ConflictError, "already"),
        (ann, x, ConflictError, "enrolled"),
        (x, 12345, NotFoundError, "no person 12345"),
        (12345, x, NotFoundError, "no person 12345"),
        (0, x, NotFoundError, "no person 0"),
        (x, 2**80, NotFoundError, "no person"),
        (-1, x, NotFoundError, "no person -1"),
    ):
        with pytest.raises(error, match=why):
            logs.correct(merge, one, other)
    assert logs.who(0) == (x, "Unknown")


def test_a_name_is_in_all_logs_and_in_the_picture_s(
    logs: Logs, world: World, x: int, y: int
) -> None:
    logs.correct(name_person, x, "  Courier  of Acme ")
    logs.correct(name_person, x, "Bike courier")
    assert (logs.who(0), logs.who(100)) == ((x, "Bike courier"), (x, "Bike courier"))
    rows = {row[0]: row for row in logs.said()["access"]}
    assert rows[world.track(0)][3:5] == (None, "unknown")
    assert logs.person_fact(x).named
    logs.settle()
    assert "known/Bike_courier_" in logs.pictures()[world.track(0)]
    unchanged_when_told_again(logs)
    logs.correct(merge, x, y)  # whoever had no name is called what the other was
    assert {logs.who(start) for start in (0, 100, 200)} == {(y, "Bike courier")}
    unchanged_when_told_again(logs)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", SightlineError),
        ("   ", SightlineError),
        ("x" * 201, SightlineError),
        ("line\nbreak", SightlineError),
        ("unknown", SightlineError),
        ("ann", ConflictError),
    ],
)
def test_what_is_no_name_for_a_stranger(
    logs: Logs, world: World, x: int, ann: int, name: str, error: type[SightlineError]
) -> None:
    with pytest.raises(error):
        logs.correct(name_person, x, f"{name} {world.id}" if name == "ann" else name)
    assert logs.who(0) == (x, "Unknown")
    with pytest.raises(ConflictError, match="enrolled"):
        logs.correct(name_person, ann, "Somebody")


def test_tracks_that_are_split_off_are_one_new_person(logs: Logs, world: World, x: int) -> None:
    new = logs.correct(split, x, [track(world, 100)])
    assert new not in (x, global_id(world.track(100)))
    assert (logs.who(0), logs.who(100)) == ((x, "Unknown"), (new, "Unknown"))
    assert list(logs.person_fact(new).not_same) == [x]
    assert list(logs.person_fact(x).not_same) == [new]
    told = logs.fact(f"track|{world.track(100)}")
    assert told
    assert (told.track.global_id, told.track.site_id) == (new, world.site)
    (look,) = told.track.templates
    assert (look.template_id, look.pack) == (sighting_id(world.track(100), 0), "test-pack")
    assert np.frombuffer(look.vector, "<f4").tolist() == [0.5] * 4
    unchanged_when_told_again(logs)


def test_what_cannot_be_split_off(logs: Logs, world: World, x: int, ann: int) -> None:
    for tracks, why in (
        ([], "give the tracks"),
        ([track(world, 0), track(world, 100)], "all tracks"),
        ([track(world, 0), track(world, 0), track(world, 100)], "all tracks"),
        ([track(world, 0), track(world, 200)], "none of person"),
        ([uuid4()], "none of person"),
    ):
        with pytest.raises(ConflictError, match=why):
            logs.correct(split, x, tracks)
    with pytest.raises(NotFoundError):
        logs.correct(split, 12345, [track(world, 0)])
    assert logs.who(100) == (x, "Unknown")
    # Who is enrolled stays, with nothing seen.
    new = logs.correct(split, ann, [track(world, 300)])
    assert logs.who(300) == (new, "Unknown")


def test_a_split_after_a_merge_and_a_merge_after_a_split(
    logs: Logs, world: World, x: int, y: int
) -> None:
    logs.correct(merge, x, y)
    new = logs.correct(split, y, [track(world, 0), track(world, 100)])
    assert (logs.who(0), logs.who(200)) == ((new, "Unknown"), (y, "Unknown"))
    unchanged_when_told_again(logs)
    logs.correct(merge, new, y)  # the later word wins
    assert list(logs.person_fact(y).not_same) == []
    assert {logs.who(start) for start in (0, 100, 200)} == {(y, "Unknown")}
    unchanged_when_told_again(logs)


@pytest.mark.parametrize("start", [0, 300])
def test_not_this_person_is_somebody_else_who_is_never_mistaken_again(
    logs: Logs, world: World, x: int, ann: int, start: int
) -> None:
    was = {0: x, 300: ann}[start]
    new = logs.correct(reject_identity, track(world, start))
    assert logs.who(start) == (new, "Unknown")
    row = {row[0]: row for row in logs.said()["access"]}[world.track(start)]
    assert row[3:] == (None, "unknown", False, False)
    assert list(logs.person_fact(was).not_same) == [new]
    unchanged_when_told_again(logs)
    newer = logs.correct(reject_identity, track(world, start))
    assert set(logs.person_fact(newer).not_same) == {was, new}


def test_a_track_that_was_two_people_is_neither(logs: Logs, world: World, x: int, y: int) -> None:
    logs.tell(world.sighting(stranger="y", epoch=1, decided=2))
    new = logs.correct(reject_identity, track(world, 0))
    assert logs.who(0) == (new, "Unknown")
    assert set(logs.person_fact(new).not_same) == {x, y}
    unchanged_when_told_again(logs)


def test_nobody_can_be_taken_from_a_track_of_nobody(logs: Logs, world: World) -> None:
    with pytest.raises(NotFoundError):
        logs.correct(reject_identity, uuid4())
    logs.tell(world.frame(500, [(500, (1, 1, 9, 9))]))
    with pytest.raises(ConflictError, match="has no identity yet"):
        logs.correct(reject_identity, track(world, 500))


@pytest.mark.parametrize(
    "later",
    [
        {"status": CHANGED, "stranger": "y", "decided": 302},
        {"status": CHANGED, "decided": 302},
        {"status": ENDED, "stranger": "x", "decided": 302},
        {"status": pb.Sighting.CONFIRMED, "stranger": "x", "epoch": 1, "decided": 302},
    ],
)
def test_a_person_s_word_holds_whatever_the_matcher_says_later(
    logs: Logs, world: World, later: dict[str, Any]
) -> None:
    new = logs.correct(reject_identity, track(world, 300))
    logs.tell(world.sighting(start=300, **later))
    assert logs.who(300) == (new, "Unknown")


def test_a_track_that_is_corrected_before_all_sinks_know_it(
    stack: Settings, world: World, logs: Logs
) -> None:
    decision = world.sighting(stranger="z", start=600, decided=601)
    write(stack, AccessLog(stack), [decision])
    new = logs.correct(reject_identity, track(world, 600))
    told = logs.fact(f"track|{world.track(600)}")
    assert told
    assert (told.track.site_id, len(told.track.templates)) == (world.site, 0)
    logs.tell(decision)
    assert logs.who(600) == (new, "Unknown")
    told = logs.fact(f"track|{world.track(600)}")
    assert told
    assert len(told.track.templates) == 1


def test_a_forgotten_person_leaves_rows_without_a_face(
    logs: Logs, world: World, x: int, y: int, ann: int
) -> None:
    logs.correct(name_person, x, "Courier")
    moved = logs.correct(reject_identity, track(world, 200))
    logs.correct(merge, moved, x)
    logs.correct(forget, x)
    rows = {row[0]: row for row in logs.said()["access"]}
    assert {rows[world.track(start)][1:3] for start in (0, 100, 200)} == {(x, "Unknown")}
    assert world.rows("SELECT FROM detected_persons WHERE global_id = %s", x) == []
    faces = (
        "SELECT FROM person_tracks WHERE global_id = %s"
        " AND num_nonnulls(embedding, embedding_sealed) > 0"
    )
    assert world.rows(faces, x) == []
    assert logs.person_fact(x).forgotten
    assert not logs.person_fact(x).named
    told = logs.fact(f"track|{world.track(200)}")
    assert told
    assert not told.track.templates
    unchanged_when_told_again(logs)
    assert world.rows(faces, x) == []
    for correction, more in ((name_person, ["Courier"]), (merge, [y]), (forget, [])):
        with pytest.raises(NotFoundError, match="forgotten"):
            logs.correct(correction, x, *more)
    with pytest.raises(ConflictError, match="employees remove"):
        logs.correct(forget, ann)


def test_the_history_tells_who_said_what(logs: Logs, world: World, x: int, y: int) -> None:
    logs.correct(merge, x, y, "Ada")
    rows = world.rows(
        "SELECT kind, details, made_by FROM corrections WHERE (details ->> 'source')::bigint = %s",
        x,
    )
    assert rows == [{"kind": "merge", "details": {"source": x, "target": y}, "made_by": "Ada"}]
