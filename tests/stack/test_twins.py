"""A row that fits two enrolled people alike says which, by their names of now."""

from collections.abc import Iterator
from typing import cast
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.crop_decisions import TrackDecision
from api.routes import process_frame
from ops.explain.explanation import explain
from processors.match.decision.identification import SEVERAL_PEOPLE, TWO_PEOPLE
from schemas import sightline_pb2 as pb
from sightline.people.one_of import one_of
from sightline.runtime.settings import Settings
from sinks.access_log import AccessLog
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good
from tests.stack.commands_support import run, sightline_json
from tests.stack.sinks_support import World, new_world, write

pytestmark = pytest.mark.stack


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one


def passed_by(stack: Settings, world: World, candidate: str, runner_up: str) -> pb.Sighting:
    """Somebody who fits two people alike, as the matcher tells of them at the end of the track."""
    sighting = world.sighting(
        pb.Sighting.UNIDENTIFIED,
        candidate=candidate,
        candidate_score=0.81,
        runner_up=runner_up,
        runner_up_score=0.8,
        reason=f"the track is over; 4 observations, {TWO_PEOPLE}; face turned away in 1 of 5 looks",
    )
    write(stack, AccessLog(stack), [sighting])
    write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0), sighting])
    return sighting


def test_the_row_says_one_of_the_two_wherever_it_is_shown(
    stack: Settings, world: World, client: TestClient
) -> None:
    ada, eva = world.add_employee("Ada"), world.add_employee("Eva")
    sighting = passed_by(stack, world, ada, eva)
    said = f"one of Ada {world.id} or Eva {world.id}"
    here = ("--camera", world.camera)
    (row,) = sightline_json(stack, "logs", "access", *here)
    assert row["person_name"] == said
    assert (row["access_status"], row["is_authorized"], row["employee_id"]) == (
        "unknown", False, None,
    )  # fmt: skip
    (visit,) = sightline_json(stack, "logs", "visitors", *here)
    assert visit["persons_name"] == said
    for words in (("access",), ("access", "--why"), ("visitors",)):
        assert "one of" in run(stack, "logs", *words, *here)
    params = {"camera": world.camera}
    (row,) = good(client.get("/api/v1/sightings", params=params))["items"]
    assert (row["person_name"], row["access_status"]) == (said, "unknown")
    (visit,) = good(client.get("/api/v1/visitor-logs", params=params))["items"]
    assert visit["persons_name"] == said
    for url in ("/api/v1/sightings", "/api/v1/visitor-logs"):
        assert said in client.get(url, params=params | {"format": "csv"}).text
    told = explain(stack, world.db, UUID(sighting.sighting_id)).fields["sighting"]
    assert told["person_name"] == said
    # The row itself has ids alone, and is found as that of somebody unknown.
    stored = world.one(
        "SELECT person_name, reason FROM access_logs WHERE id = %s", sighting.sighting_id
    )
    assert stored["person_name"] == "Unknown"
    assert world.id not in stored["reason"]
    (row,) = sightline_json(stack, "logs", "access", *here, "--person", "Unknown")
    assert row["person_name"] == said


def test_a_client_is_told_of_both(world: World, client: TestClient) -> None:
    ada, eva = world.add_employee("Ada"), world.add_employee("Eva")
    sighting = world.sighting(
        pb.Sighting.PROVISIONAL,
        candidate=ada,
        runner_up=eva,
        reason=f"4 observations, {TWO_PEOPLE}",
    )
    context = cast(FastAPI, client.app).state.context
    decision = TrackDecision(3, sighting, is_cached=False)
    (identity,) = process_frame._identities(context, [decision])
    assert identity.name == f"one of Ada {world.id} or Eva {world.id}"
    assert not identity.is_authorized
    assert process_frame._is_unknown(identity)


def test_an_erasure_leaves_no_name(stack: Settings, world: World, client: TestClient) -> None:
    ada, eva = world.add_employee("Ada"), world.add_employee("Eva")
    passed_by(stack, world, ada, eva)
    run(stack, "erase", "person", ada)
    (row,) = sightline_json(stack, "logs", "access", "--camera", world.camera)
    assert (row["person_name"], row["candidate"]) == ("Unknown", None)
    (visit,) = sightline_json(stack, "logs", "visitors", "--camera", world.camera)
    assert visit["persons_name"] == "Unknown"
    text = client.get("/api/v1/sightings", params={"camera": world.camera, "format": "csv"}).text
    assert "Ada" not in text
    assert "Eva" not in text


def test_what_is_said_goes_by_reason_and_ids(world: World) -> None:
    ada, eva = world.add_employee("Ada"), world.add_employee("Eva")
    cursor = world.db.cursor()
    several = f"one of Ada {world.id}, Eva {world.id} or others"
    assert one_of(cursor, ada, eva, f"3 observations, {SEVERAL_PEOPLE}") == several
    for candidate, runner_up, reason in (
        (ada, eva, "near to somebody, not near enough"),
        (ada, ada, TWO_PEOPLE),
        (ada, "12345", TWO_PEOPLE),
        (ada, "", TWO_PEOPLE),
        ("", "", ""),
    ):
        assert one_of(cursor, candidate, runner_up, reason) is None
    for employee, code in ((ada, "a"), (eva, "e")):
        world.db.execute(
            "UPDATE employees SET name = 'Same Twin', employee_id_code = %s WHERE id = %s",
            (f"{code}-{world.id}", employee),
        )
    assert one_of(cursor, ada, eva, TWO_PEOPLE) == (
        f"one of Same Twin (a-{world.id}) or Same Twin (e-{world.id})"
    )
