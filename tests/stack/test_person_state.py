"""Person state: one row for each person, the sum of their tracks whoever they turn out to be."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from sightline.people.corrections import name_person
from sightline.runtime.clock import US_PER_SECOND, to_datetime
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sinks.person_state import PersonState
from tests.stack.sinks_support import FACE, World, at, new_world, write

pytestmark = pytest.mark.stack

CHANGED = pb.Sighting.CHANGED
SMALL = (10.0, 10.0, 30.0, 50.0)  # 20 x 40
LARGE = (10.0, 10.0, 70.0, 90.0)  # 60 x 80


def json_time(seconds: float) -> str:
    """Return the time of a moment as PostgreSQL writes it in JSON."""
    return f"{to_datetime(at(seconds)):%Y-%m-%dT%H:%M:%S}.25+00:00"


class TestClock:
    """Time that the test moves."""

    __test__ = False

    def __init__(self) -> None:
        self.seconds = 10.0

    def now_us(self) -> int:
        return at(self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def sink(stack: Settings, clock: TestClock) -> PersonState:
    return PersonState(stack, clock)


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def compute(stack: Settings, sink: PersonState, clock: TestClock) -> None:
    clock.seconds += 5
    write(stack, sink, [], idle=True)


def person(world: World, **who: Any) -> dict[str, Any] | None:
    rows = world.rows(
        "SELECT * FROM detected_persons WHERE global_id = %s", world.sighting(**who).global_id
    )
    return rows[0] if rows else None


def test_a_person_s_row_is_the_sum_of_their_tracks_over_cameras(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    ann = world.add_employee("Ann")
    hall = world.add_camera("hall", room=f"Hall {world.id}")
    best = world.sighting(
        employee=ann,
        camera=hall,
        start=5,
        decided=6,
        face_quality=0.9,
        template=FACE[:8] + FACE[:8],
    )
    write(
        stack,
        sink,
        [
            world.frame(0, [(0, SMALL)]),
            world.frame(1, [(0, SMALL)]),
            world.frame(2, [(0, SMALL), (2, LARGE)]),  # another track, of nobody
            world.frame(5, [(5, LARGE)], camera=hall),
            world.frame(6, [(5, LARGE)], camera=hall),
            world.sighting(employee=ann, decided=1),
            best,
        ],
        idle=True,
    )
    row = person(world, employee=ann)
    assert row
    assert str(row["person_id"]) == ann
    assert row["assigned_name"] == world.name_of(ann)
    # Camera means of 40 and 80, not the mean over five detections.
    assert (row["avg_height_pixels"], row["avg_width_pixels"]) == (60, 40)
    assert row["avg_height_meters"] is None
    assert (row["total_appearances"], row["total_detections"]) == (2, 5)
    assert (row["first_seen"], row["last_seen"]) == (to_datetime(at(0)), to_datetime(at(6)))
    assert row["cameras_visited"] == [world.camera, hall]
    assert row["current_room_id"] == f"Hall {world.id}"
    assert row["is_active"]
    assert row["face_quality"] == pytest.approx(0.9)
    assert row["face_embedding"].to_list() == [0.5] * 4
    assert row["embedding_pack"] == "test-pack"
    assert row["current_positions"] == {
        world.camera: {"bbox": list(SMALL), "timestamp": json_time(2)},
        hall: {"bbox": list(LARGE), "timestamp": json_time(6)},
    }
    assert row["quality_scores"]["best"] == pytest.approx(0.9)


def test_any_order_of_the_topics_gives_the_same_person(stack: Settings, world: World) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    topics: list[list[Message]] = [
        [world.frame(second, [(0, LARGE)]) for second in range(4)],
        [world.sighting(employee=ann, decided=1), world.sighting(CHANGED, employee=bob, decided=2)],
        [world.sighting(employee=bob, decided=3, start=3)],
    ]
    seen = []
    for order in permutations(topics):
        world.db.execute("DELETE FROM person_tracks WHERE camera_id = %s", (world.camera,))
        world.db.execute("DELETE FROM detected_persons WHERE person_id = %s", (bob,))
        clock = TestClock()
        sink = PersonState(stack, clock)
        write(stack, sink, *order)
        compute(stack, sink, clock)
        row = person(world, employee=bob)
        assert row
        assert person(world, employee=ann) is None
        seen.append({key: row[key] for key in row if key not in ("id", "created_at", "updated_at")})
    assert len(seen) == 6
    for row in seen:
        assert row == seen[0]
    assert (seen[0]["total_appearances"], seen[0]["total_detections"]) == (2, 4)


def test_a_person_whose_last_track_turns_out_to_be_another_s_goes(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    ann = world.add_employee("Ann")
    write(stack, sink, [world.frame(1, [(0, LARGE)]), world.sighting(stranger="x")], idle=True)
    assert person(world, stranger="x")
    write(stack, sink, [world.sighting(CHANGED, employee=ann, decided=2)])
    compute(stack, sink, clock)
    assert person(world, stranger="x") is None
    assert person(world, employee=ann)
    write(stack, sink, [world.sighting(CHANGED, decided=3)])
    compute(stack, sink, clock)
    assert person(world, employee=ann) is None


def test_whom_a_person_has_named_stays_when_their_track_goes(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    write(stack, sink, [world.frame(1, [(0, LARGE)]), world.sighting(stranger="x")], idle=True)
    row = person(world, stranger="x")
    assert row
    with world.db.transaction(), world.db.cursor() as cursor:
        name_person(cursor, row["global_id"], "The postman")
    write(stack, sink, [world.frame(2, [(0, LARGE)])])
    compute(stack, sink, clock)
    row = person(world, stranger="x")
    assert row
    assert (row["assigned_name"], row["total_detections"]) == ("The postman", 2)
    write(stack, sink, [world.sighting(CHANGED, decided=3)])
    compute(stack, sink, clock)
    row = person(world, stranger="x")
    assert row
    assert (row["assigned_name"], row["total_appearances"]) == ("The postman", 0)
    assert not row["is_active"]


def test_a_row_is_written_every_5_s_at_most(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    def detections() -> int:
        row = person(world, stranger="x")
        return row["total_detections"] if row else 0

    first: list[Message] = [world.sighting(stranger="x"), world.frame(0, [(0, LARGE)])]
    write(stack, sink, first, idle=True)
    assert detections() == 1
    for second in range(1, 5):
        clock.seconds += 1
        write(stack, sink, [world.frame(second, [(0, LARGE)])], idle=True)
        assert detections() == 1
    clock.seconds += 1
    write(stack, sink, [], idle=True)
    assert detections() == 5


def test_a_person_unseen_for_30_s_is_not_active(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    def active() -> bool:
        row = person(world, stranger="x")
        assert row
        return bool(row["is_active"])

    write(
        stack,
        sink,
        [world.sighting(stranger="x", decided=10), world.frame(10, [(0, LARGE)])],
        idle=True,
    )
    assert active()
    clock.seconds = 40
    write(stack, sink, [], idle=True)
    assert active()
    clock.seconds = 45.1
    write(stack, sink, [], idle=True)
    assert not active()
    write(stack, sink, [world.frame(45, [(0, LARGE)])])
    compute(stack, sink, clock)
    assert active()


def test_a_camera_whose_clock_is_behind_shows_who_is_there(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    clock.seconds = 100
    frames = [world.frame(seconds, [(0, LARGE)]) for seconds in (39, 40)]
    write(stack, sink, [world.sighting(stranger="x", decided=39), *frames], idle=True)
    row = person(world, stranger="x")
    assert row and row["is_active"] and row["last_seen"] == to_datetime(at(40))
    clock.seconds = 131
    write(stack, sink, [], idle=True)
    row = person(world, stranger="x")
    assert row and not row["is_active"]


def test_a_camera_whose_clock_is_ahead_moves_nobody_far_ahead(
    stack: Settings, world: World, sink: PersonState, clock: TestClock
) -> None:
    seen = world.sighting(stranger="x", decided=3610)
    write(stack, sink, [seen, world.frame(3610, [(0, LARGE)])], idle=True)
    row = person(world, stranger="x")
    assert row and row["is_active"] and row["last_seen"] == to_datetime(at(10 + 60))
    clock.seconds = 101
    write(stack, sink, [], idle=True)
    row = person(world, stranger="x")
    assert row and not row["is_active"]


def test_tracks_of_nobody_are_forgotten_after_a_day(
    stack: Settings, world: World, clock: TestClock
) -> None:
    write(stack, PersonState(stack, clock), [world.frame(1, [(0, LARGE)])])
    count = "SELECT count(*) FROM person_tracks WHERE camera_id = %s"
    assert world.one(count, world.camera)["count"] == 1
    clock.seconds += timedelta(days=1).total_seconds()
    write(stack, PersonState(stack, clock), [], idle=True)
    assert world.one(count, world.camera)["count"] == 0
    assert clock.now_us() - at(1) > timedelta(days=1).total_seconds() * US_PER_SECOND


@pytest.mark.parametrize("topic", ["frame", "sighting"])
def test_an_unknown_camera_is_invalid(
    stack: Settings, world: World, sink: PersonState, topic: str
) -> None:
    message: Any = world.frame(1) if topic == "frame" else world.sighting(stranger="x")
    message.camera_id = "nowhere"
    with pytest.raises(PoisonRecord, match="unknown_camera"):
        write(stack, sink, [message])
