"""The access log: one row for each settled identity, right whoever it turns out to be."""

from collections.abc import Iterator
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from schemas import sightline_pb2 as pb
from schemas.ids import global_id, sighting_id
from sightline.runtime.clock import to_datetime
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sinks.access_log import AccessLog
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

CONFIRMED, CHANGED, ENDED = pb.Sighting.CONFIRMED, pb.Sighting.CHANGED, pb.Sighting.ENDED


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def rows(world: World) -> list[dict[str, object]]:
    return world.rows(
        "SELECT * FROM access_logs WHERE site_id = %s ORDER BY timestamp, id", world.site
    )


def test_an_employee_s_row_says_who_where_when_and_from_which_frame(
    stack: Settings, world: World
) -> None:
    ann = world.add_employee("Ann")
    world.db.execute("UPDATE employees SET aws_face_id = %s WHERE id = %s", (world.id, ann))
    why: dict[str, Any] = {
        "shots": 3,
        "runner_up": "77",
        "runner_up_score": 0.25,
        "candidate": ann,
        "candidate_score": 0.75,
        "wanted_rate": 1e-3,
        "calibration": "measured",
        "gallery_people": 15,
        "gallery_revision": 9,
        "reason": "3 shots that agree",
    }
    write(stack, AccessLog(stack), [world.sighting(employee=ann, **why)])
    (row,) = rows(world)
    assert row["recorded_at"]
    said = {key: row[key] for key in row if key not in ("recorded_at", "decision")}
    assert {key: str(value) for key, value in said.items()} == {
        "id": sighting_id(world.track(), 0),
        "track_id": "7",
        "person_name": world.name_of(ann),
        "employee_id": ann,
        "is_authorized": "True",
        "access_status": "authorized",
        "confidence_score": "0.9",
        "aws_face_id": world.id,
        "snapshot_path": "None",
        "timestamp": str(to_datetime(at(1))),
        "entry_point": "Main door",
        "location_x": "0.25",
        "location_y": "0.75",
        "flagged": "False",
        "notes": "None",
        "track_uuid": world.track(),
        "epoch": "0",
        "camera_id": world.camera,
        "site_id": world.site,
        "global_id": str(world.sighting(employee=ann).global_id),
        "motion_event_id": world.event(),
        "score": "0.7",
        "threshold": "0.5",
        "pack": "test-pack",
        "frame_topic": "frames.default",
        "frame_partition": "3",
        "frame_offset": "42",
        "face_box": "[45.0, 12.0, 55.0, 24.0]",
        "first_seen": str(to_datetime(at(0))),
        "face_attempts": "None",
        "refusals": "None",
    } | {key: str(value) for key, value in why.items()}
    seen = world.one("SELECT last_seen FROM employees WHERE id = %s", ann)
    assert seen["last_seen"] == to_datetime(at(1))


def test_the_unauthorized_are_flagged_and_the_unknown_are_unknown(
    stack: Settings, world: World
) -> None:
    bob = world.add_employee("Bob", authorized=False)
    write(
        stack,
        AccessLog(stack),
        [
            world.sighting(employee=bob, decided=1),
            world.sighting(stranger="x", start=5, decided=6),
            world.sighting(pb.Sighting.PROVISIONAL, start=7, decided=8),
        ],
    )
    said = [
        (row["person_name"], row["access_status"], row["is_authorized"], row["flagged"])
        for row in rows(world)
    ]
    assert said == [
        (world.name_of(bob), "unauthorized", False, True),
        ("Unknown", "unknown", False, False),
    ]


def test_any_way_of_delivering_the_same_decisions_gives_the_same_rows(
    stack: Settings, world: World
) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    decisions = [
        world.sighting(employee=ann, decided=1),
        world.sighting(CHANGED, employee=bob, decided=2),
        world.sighting(ENDED, employee=bob, decided=2),
    ]
    sink = AccessLog(stack)
    write(stack, sink, decisions)
    (first,) = rows(world)
    assert first["person_name"] == world.name_of(bob)
    write(stack, sink, decisions, *([one] for one in decisions))
    assert rows(world) == [first]
    for order in permutations(decisions):
        world.db.execute("DELETE FROM access_logs WHERE site_id = %s", (world.site,))
        write(stack, sink, *([one] for one in order))
        (row,) = rows(world)
        assert (row["person_name"], row["timestamp"]) == (first["person_name"], to_datetime(at(2)))


def test_the_recorded_time_is_when_this_decision_was_written_first(
    stack: Settings, world: World
) -> None:
    ann, bob = world.add_employee("Ann"), world.add_employee("Bob")
    sink = AccessLog(stack)
    times = []
    for decision in (
        world.sighting(employee=ann),
        world.sighting(employee=ann),
        world.sighting(CHANGED, employee=bob, decided=9),
    ):
        write(stack, sink, [decision])
        times += [row["recorded_at"] for row in rows(world)]
    assert times[0] == times[1]
    assert times[2] not in times[:2]


def test_an_identity_that_is_taken_back_takes_its_row_along(stack: Settings, world: World) -> None:
    ann = world.add_employee("Ann")
    sink = AccessLog(stack)
    write(stack, sink, [world.sighting(employee=ann), world.sighting(employee=ann, epoch=1)])
    write(stack, sink, [world.sighting(CHANGED, decided=2)])
    assert [row["epoch"] for row in rows(world)] == [1]


def test_an_ended_track_fills_in_a_row_that_is_missing(stack: Settings, world: World) -> None:
    ann = world.add_employee("Ann")
    write(stack, AccessLog(stack), [world.sighting(ENDED, employee=ann), world.sighting(ENDED)])
    assert [row["person_name"] for row in rows(world)] == [world.name_of(ann)]


def test_a_former_employee_keeps_the_name_in_the_log(stack: Settings, world: World) -> None:
    ann = world.add_employee("Ann")
    sighting = world.sighting(employee=ann)
    world.db.execute("DELETE FROM employees WHERE id = %s", (ann,))
    write(stack, AccessLog(stack), [sighting])
    (row,) = rows(world)
    assert (row["person_name"], row["employee_id"]) == (sighting.name, None)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"camera_id": "nowhere"}, "unknown_camera"), ({"global_id": 0}, "no_identity")],
)
def test_what_cannot_be_a_row_is_invalid(
    stack: Settings, world: World, wrong: dict[str, object], reason: str
) -> None:
    bad = world.sighting(stranger="x")
    for field, value in wrong.items():
        setattr(bad, field, value)
    with pytest.raises(PoisonRecord) as caught:
        write(stack, AccessLog(stack), [world.sighting(stranger="y", start=3), bad])
    assert caught.value.reason == reason
    assert rows(world) == []  # the runner writes the others, one by one


def test_a_sql_name_is_a_name(stack: Settings, world: World) -> None:
    name = f"Robert'); DROP TABLE access_logs;-- %s {uuid4()}"
    bobby = str(uuid4())
    world.db.execute(
        "INSERT INTO employees (id, global_id, name) VALUES (%s, %s, %s)",
        (bobby, global_id(bobby), name),
    )
    write(stack, AccessLog(stack), [world.sighting(employee=bobby)])
    assert [row["person_name"] for row in rows(world)] == [name]
