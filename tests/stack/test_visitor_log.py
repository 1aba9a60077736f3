"""The visitor log: one visit for each person and motion event, in whatever order it is told."""

from collections.abc import Iterator
from itertools import permutations

import pytest
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.ids import visitor_log_id
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sinks.visitor_log import VisitorLog
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

CHANGED = pb.Sighting.CHANGED
STARTED, ENDED = pb.MotionEvent.STARTED, pb.MotionEvent.ENDED
BOX = (10.0, 10.0, 50.0, 90.0)


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def visits(world: World) -> list[tuple[object, ...]]:
    return [
        tuple(row.values())
        for row in world.rows(
            "SELECT visitor_log_id::text, persons_name, confidence_score::numeric(3, 2)::text,"
            " visited_at, motion_event_id::text, employee_id::text FROM visitor_logs"
            " WHERE camera_name = %s ORDER BY persons_name, global_id",
            world.camera,
        )
    ]


def events(world: World) -> list[tuple[object, ...]]:
    return [
        tuple(row.values())
        for row in world.rows(
            "SELECT started_at, ended_at, frames_seen, all_seen, processed, first_sequence,"
            " last_sequence, frames FROM motion_events WHERE camera_id = %s ORDER BY event_id",
            world.camera,
        )
    ]


def clear(world: World) -> None:
    for table in ("visit_evidence", "visitor_logs"):
        world.db.execute(
            f"DELETE FROM {table} WHERE motion_event_id IN"
            " (SELECT event_id FROM motion_events WHERE camera_id = %s)",
            (world.camera,),
        )
    world.db.execute("DELETE FROM motion_events WHERE camera_id = %s", (world.camera,))


def test_any_order_of_the_topics_gives_the_same_visits_and_events(
    stack: Settings, world: World
) -> None:
    ann = world.add_employee("Ann")
    topics: list[list[Message]] = [
        [
            world.sighting(employee=ann, confidence=0.7),
            world.sighting(employee=ann, start=2, decided=3, confidence=0.9),
            world.sighting(stranger="x", start=3, decided=4, confidence=0.6),
        ],
        [world.motion(STARTED, 0), world.motion(ENDED, 0, 5)],
        [world.frame(0.5), world.frame(1), world.frame(4.9, last=True)],
    ]
    visitor = world.sighting(employee=ann)
    stranger = world.sighting(stranger="x")
    expected = [
        (
            visitor_log_id(world.event(), stranger.global_id),
            "Unknown", "0.60", to_datetime(at(3)), world.event(), None,
        ),
        (
            visitor_log_id(world.event(), visitor.global_id),
            world.name_of(ann), "0.90", to_datetime(at(0)), world.event(), ann,
        ),
    ]  # fmt: skip
    expected.sort(key=lambda visit: str(visit[1]))
    sink = VisitorLog(stack)
    for order in permutations(topics):
        clear(world)
        write(stack, sink, *order)
        assert visits(world) == expected
        assert events(world) == [
            (to_datetime(at(0)), to_datetime(at(5)), 3, True, True, 10, 19, 10)
        ]
    clear(world)
    write(stack, sink, *([message] for topic in reversed(topics) for message in topic))
    assert visits(world) == expected


def test_sightings_delivered_again_change_nothing(stack: Settings, world: World) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    told: list[Message] = [
        world.motion(STARTED, 0),
        world.sighting(employee=ann),
        world.sighting(CHANGED, employee=bob, decided=2),
        world.motion(ENDED, 0, 5),
    ]
    sink = VisitorLog(stack)
    write(stack, sink, told)
    before = world.rows("SELECT * FROM visitor_logs WHERE camera_name = %s", world.camera)
    assert [row["persons_name"] for row in before] == [world.name_of(bob)]
    write(stack, sink, told, *([message] for message in told))
    assert before == world.rows("SELECT * FROM visitor_logs WHERE camera_name = %s", world.camera)


def test_a_name_that_is_taken_back_takes_its_visit_along(stack: Settings, world: World) -> None:
    ann = world.add_employee("Ann")
    sink = VisitorLog(stack)
    write(stack, sink, [world.motion(STARTED, 0), world.sighting(employee=ann)])
    assert [visit[1] for visit in visits(world)] == [world.name_of(ann)]
    write(stack, sink, [world.sighting(CHANGED, decided=2)])
    assert visits(world) == []


def test_the_other_sighting_of_a_visit_stays_when_one_is_taken_back(
    stack: Settings, world: World
) -> None:
    ann = world.add_employee("Ann")
    sink = VisitorLog(stack)
    write(
        stack,
        sink,
        [
            world.motion(STARTED, 0),
            world.sighting(employee=ann, confidence=0.9),
            world.sighting(employee=ann, start=2, decided=3, confidence=0.6),
        ],
        [world.sighting(CHANGED, decided=2)],
    )
    assert [visit[2] for visit in visits(world)] == ["0.60"]


def test_an_event_is_processed_when_it_has_ended_and_all_its_frames_were_seen(
    stack: Settings, world: World
) -> None:
    sink = VisitorLog(stack)

    def processed() -> object:
        return [event[4] for event in events(world)]

    write(stack, sink, [world.motion(STARTED, 0), world.frame(1)])
    assert processed() == [False]
    write(stack, sink, [world.motion(ENDED, 0, 5)])
    assert processed() == [False]
    write(stack, sink, [world.frame(4.9, last=True)])
    assert processed() == [True]


def test_a_new_event_closes_one_that_never_said_that_it_ended(
    stack: Settings, world: World
) -> None:
    sink = VisitorLog(stack)
    write(stack, sink, [world.motion(STARTED, 0)], [world.frame(1)], [world.motion(STARTED, 60)])
    # The frames of the first may still be coming.
    row = world.one("SELECT * FROM motion_events WHERE event_id = %s", world.event(0))
    assert (row["ended_at"], row["processed"]) == (to_datetime(at(1)), False)
    write(stack, sink, [world.frame(2)], [world.frame(61, event=60)])
    row = world.one("SELECT * FROM motion_events WHERE event_id = %s", world.event(0))
    assert (row["ended_at"], row["frames_seen"]) == (to_datetime(at(2)), 2)
    assert row["processed"]
    later = world.one("SELECT * FROM motion_events WHERE event_id = %s", world.event(60))
    assert (later["ended_at"], later["processed"]) == (None, False)


def test_an_unknown_camera_is_invalid(stack: Settings, world: World) -> None:
    frame = world.frame(1)
    frame.camera_id = "nowhere"
    with pytest.raises(PoisonRecord, match="unknown_camera"):
        write(stack, VisitorLog(stack), [world.motion(STARTED, 0), frame])
    assert events(world) == []


def test_a_visit_begins_when_its_person_was_first_seen(stack: Settings, world: World) -> None:
    """An event lasts as long as somebody is there: it may have begun hours before."""
    started = world.motion(pb.MotionEvent.STARTED, 0)
    late = world.sighting(stranger="late", start=7000, decided=7001)
    again = world.sighting(stranger="late", start=7100, decided=7101, confidence=0.95)
    first = world.sighting(stranger="first", start=0, decided=1)
    write(stack, VisitorLog(stack), [again, started], [first, late])
    rows = world.rows(
        "SELECT global_id, visited_at, confidence_score FROM visitor_logs WHERE camera_name = %s"
        " ORDER BY visited_at",
        world.camera,
    )
    assert [(row["global_id"], row["visited_at"]) for row in rows] == [
        (first.global_id, to_datetime(at(0))),
        (late.global_id, to_datetime(at(7000))),
    ]
    assert rows[1]["confidence_score"] == pytest.approx(0.95)
