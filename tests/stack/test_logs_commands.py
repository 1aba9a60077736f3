"""`sightline logs`: what the sinks wrote, for people and as JSON."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemas import sightline_pb2 as pb
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.visitor_log import VisitorLog
from tests.stack.commands_support import sightline_json
from tests.stack.sinks_support import World, at, new_world, write
from tests.support import cut_off_at, environment, program, run_sightline, sightline_command

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def world(stack: Settings) -> Iterator[World]:
    """An employee at 1 s and somebody unknown at 5 s."""
    with new_world(stack) as world:
        ann = world.add_employee("Ann")
        seen = [
            world.sighting(employee=ann),
            world.sighting(stranger="x", start=4, decided=5),
        ]
        write(stack, AccessLog(stack), seen)
        write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0), *seen])
        write(stack, PersonState(stack), seen, idle=True)
        yield world


def test_access_rows_come_as_json_latest_first(stack: Settings, world: World) -> None:
    rows = sightline_json(stack, "logs", "access", "--camera", world.camera)
    assert [row["timestamp"] for row in rows] == [to_datetime(at(s)).isoformat() for s in (5, 1)]
    assert [row["access_status"] for row in rows] == ["unknown", "authorized"]
    assert rows[1]["frame_topic"] == "frames.default"
    assert rows[1]["entry_point"] == "Main door"


def test_conditions_and_limits_narrow_the_rows(stack: Settings, world: World) -> None:
    ann = str(world.one("SELECT name FROM employees WHERE name LIKE %s", f"% {world.id}")["name"])
    here = ("--camera", world.camera)
    (row,) = sightline_json(stack, "logs", "access", *here, "--person", ann)
    assert row["person_name"] == ann
    since = to_datetime(at(3)).isoformat()
    (row,) = sightline_json(stack, "logs", "access", *here, "--since", since)
    assert row["person_name"] == "Unknown"
    (row,) = sightline_json(stack, "logs", "access", *here, "--limit", "1")
    assert row["person_name"] == "Unknown"
    assert sightline_json(stack, "logs", "access", "--person", "' OR true --") == []


def test_visits_and_people_come_as_json(stack: Settings, world: World) -> None:
    here = ("--camera", world.camera)
    visits = sightline_json(stack, "logs", "visitors", *here)
    assert {row["persons_name"] for row in visits} > {"Unknown"}
    moments = {to_datetime(at(seconds)).isoformat() for seconds in (0, 4)}
    assert {row["visited_at"] for row in visits} == moments, "when each was first seen"
    people = sightline_json(stack, "logs", "persons", *here)
    assert people[0]["assigned_name"] is None
    assert people[1]["current_positions"][world.camera]["bbox"] == [40, 10, 60, 75]
    (row,) = sightline_json(stack, "logs", "persons", *here, "--person", "Unknown")
    assert row["global_id"] == people[0]["global_id"]


def test_people_read_a_table(stack: Settings, world: World) -> None:
    shown = run_sightline(
        stack.home, "logs", "access", "--camera", world.camera, env={"COLUMNS": "200"}
    ).stdout
    assert "Unknown" in shown
    assert "Main door" in shown
    nothing = run_sightline(stack.home, "logs", "visitors", "--person", "Nobody").stdout
    assert nothing == "Visitor log: none\n"


def test_a_time_that_is_none_is_one_line(stack: Settings, world: World) -> None:
    result = run_sightline(stack.home, "logs", "access", "--since", "yesterdays", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("sightline: --since yesterdays: give ")
    assert result.stderr.count("\n") == 1


def test_a_database_that_goes_away_amid_a_command_is_one_line(
    stack: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    env = environment(stack.home)
    with ExitStack() as parts:
        with cut_off_at(stack, "access_logs"):
            command = parts.enter_context(
                program(sightline_command("logs", "access"), log, env=env)
            )
        assert command.wait(120) == 1
    said = log.read_text()
    assert said.startswith("sightline: the database failed amid the work: terminating connection")
    assert said.count("\n") == 1
