"""A camera that is renamed: its history has the new name, its frames go on without a gap."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from ops.explain.explanation import explain
from ops.replay.plan import _camera_ids
from schemas import sightline_pb2 as pb
from sightline.audit.roles import Role
from sightline.people.face_search import search_tracks
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage import camera_names, cameras, walking_times
from sightline.storage.cameras import NewCamera, ensure_camera, validated
from sightline.storage.db import connect
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good, problem
from tests.http_camera import camera_server
from tests.stack.camera_support import (
    add_camera,
    check_events,
    delivered,
    dropped,
    remove_camera,
    serving,
)
from tests.stack.commands_support import command, run, sightline_json
from tests.stack.sinks_support import FACE, World, new_world, write
from tests.support import eventually

pytestmark = pytest.mark.stack


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one


def pass_by(stack: Settings, world: World, start: float) -> pb.Sighting:
    """Somebody unknown, of whom the stream tells by the camera's id."""
    seen = world.sighting(stranger="x", start=start, decided=start + 1)
    write(stack, AccessLog(stack), [seen])
    write(stack, VisitorLog(stack), [world.motion(pb.MotionEvent.STARTED, 0), seen])
    write(stack, PersonState(stack), [seen], idle=True)
    return seen


def test_rows_of_before_and_after_have_the_new_name_everywhere(
    stack: Settings, world: World, client: TestClient
) -> None:
    before = pass_by(stack, world, 0)
    new = f"gate-{world.id}"
    assert run(stack, "camera", "rename", world.camera, new) == (
        f"camera {world.camera} is called {new}\n"
    )
    after = pass_by(stack, world, 10)
    both = {before.sighting_id, after.sighting_id}

    rows = sightline_json(stack, "logs", "access", "--camera", new)
    assert {row["id"] for row in rows} == both
    assert {row["camera_id"] for row in rows} == {new}
    assert sightline_json(stack, "logs", "access", "--camera", world.camera) == []
    (visit,) = sightline_json(stack, "logs", "visitors", "--camera", new)
    assert visit["camera_name"] == new
    (person,) = sightline_json(stack, "logs", "persons", "--camera", new)
    assert person["cameras_visited"] == [new]
    assert list(person["current_positions"]) == [new]
    shown = sightline_json(stack, "persons", "show", str(before.global_id))
    assert shown["cameras_visited"] == [new]
    assert {track["camera_id"] for track in shown["tracks"]} == {new}
    for table in ("access", "visitors", "persons"):
        text = run(stack, "logs", table, "--camera", new, COLUMNS="200")
        assert new in text
        assert world.camera not in text

    url = "/api/v1/sightings"
    assert {row["camera_id"] for row in good(client.get(url, params={"camera": new}))["items"]} == {
        new
    }
    assert good(client.get(url, params={"camera": world.camera}))["items"] == []
    assert good(client.get(f"{url}/{before.sighting_id}"))["camera_id"] == new
    text = client.get(url, params={"camera": new, "format": "csv"}).text
    assert text.count(new) == 2
    assert world.camera not in text
    visits = client.get("/api/v1/visitor-logs", params={"camera": new, "format": "csv"}).text
    assert new in visits
    (met,) = good(client.get("/api/v1/persons", params={"camera": new}))["items"]
    assert (met["cameras_visited"], list(met["current_positions"])) == ([new], [new])
    world.db.execute(
        "UPDATE detected_persons SET is_active = true WHERE global_id = %s", (before.global_id,)
    )
    assert new in client.get("/api/detected-persons/active").text
    assert good(client.get(f"/api/v1/cameras/{new}"))["key"] == world.camera
    problem(client.get(f"/api/v1/cameras/{world.camera}"), 404)

    near = [0.5] * (len(FACE) // 4)
    for name, count in ((new, 2), (world.camera, 0)):
        found = search_tracks(world.db, "test-pack", near, camera=name)
        assert [row["camera_id"] for row in found] == [new] * count
    told = explain(stack, world.db, UUID(before.sighting_id)).fields
    assert told["sighting"]["camera"] == new
    assert told["track"]["camera_id"] == new
    assert _camera_ids(world.db, [new]) == [world.camera]


def test_live_frames_go_on_in_the_same_event(stack: Settings) -> None:
    with camera_server() as address:
        camera = add_camera(stack, "renamed", f"{address}/video", "renamed", fps=5, motion=False)
        try:
            with serving(stack):
                eventually(lambda: delivered("renamed") >= 5)
                run(stack, "camera", "rename", "renamed", "renamed-now")
                seen = delivered("renamed")
                # Two polls of the table, and more.
                eventually(lambda: delivered("renamed") >= seen + 25)
                (row,) = [
                    row
                    for row in sightline_json(stack, "camera", "list")
                    if row["name"] == "renamed-now"
                ]
                assert (row["status"], row["key"]) == ("up", "renamed")
        finally:
            remove_camera(stack, "renamed-now")
    frames = check_events(stack, camera)
    assert len({frame.motion_event_id for frame in frames}) == 1
    assert len(frames) >= 30
    assert set(dropped("renamed")) <= {"rate_cap", "overrun"}


def test_names_are_of_one_camera_each_and_can_be_exchanged(stack: Settings) -> None:
    with connect(stack, autocommit=True) as db:
        for name in ("swap-a", "swap-b"):
            cameras.add(db, validated(NewCamera, camera_id=name, uri="rtsp://h/x", fleet="swap"))
        with pytest.raises(ConflictError, match="there is a camera swap-b already"):
            camera_names.rename(db, "swap-a", "swap-b")
        with pytest.raises(NotFoundError, match="no camera 'swap-c'"):
            camera_names.rename(db, "swap-c", "swap-d")
        refused = command(stack, "camera", "rename", "swap-a", "no name")
        assert refused.exit_code == 1
        for old, new in (("swap-a", "swap-c"), ("swap-b", "swap-a"), ("swap-c", "swap-b")):
            camera_names.rename(db, old, new)
        assert camera_names.id_of(db, "swap-a") == "swap-b"
        assert camera_names.id_of(db, "swap-b") == "swap-a"
        assert camera_names.name_of(db, "swap-a") == "swap-b"

        # A camera that is changed by its name stays itself; a freed name is for another one.
        again = cameras.add(
            db, validated(NewCamera, camera_id="swap-b", uri="rtsp://h/y", fleet="swap")
        )
        assert (again.camera_id, again.name, again.slot) == ("swap-a", "swap-b", 0)
        camera_names.rename(db, "swap-b", "swap-old")
        other = cameras.add(
            db, validated(NewCamera, camera_id="swap-b", uri="rtsp://h/z", fleet="swap")
        )
        assert (other.name, other.camera_id) == ("swap-b", "swap-b-2")
        camera_names.rename(db, "swap-b", "swap-d")
        assert ensure_camera(db, "swap-d") == ("swap-b-2", "default")

        with db.cursor() as cursor:
            walking_times.set_time(cursor, "swap-d", "swap-a", 9)
        (row,) = walking_times.list_walking_times(db)
        assert {row["camera_a"], row["camera_b"]} == {"swap-a", "swap-d"}
        with db.cursor() as cursor:
            walking_times.remove(cursor, "swap-a", "swap-d")
        for name in ("swap-a", "swap-old", "swap-d"):
            cameras.remove(db, name)
        camera_names.rename(db, "swap-a", "swap-removed")
        db.execute("DELETE FROM cameras WHERE fleet = 'swap'")


def test_a_key_for_a_camera_sees_it_under_its_new_name(stack: Settings, world: World) -> None:
    seen = pass_by(stack, world, 0)
    new = f"kept-{world.id}"
    with client_of(stack, Role.GUARD, [world.camera]) as guard:
        camera_names.rename(world.db, world.camera, new)
        (row,) = good(guard.get("/api/v1/sightings"))["items"]
        assert (row["id"], row["camera_id"]) == (seen.sighting_id, new)
        assert [one["camera_id"] for one in good(guard.get("/api/v1/cameras"))] == [new]
        problem(guard.get("/api/v1/cameras/nowhere"), 404)
        for camera, status in ((new, 422), (world.camera, 422), ("another", 403)):
            body = {"frame": "x", "camera_id": camera}
            problem(guard.post("/api/module1/process-frame", json=body), status)


def test_a_client_that_has_not_heard_of_the_new_name_goes_on(stack: Settings) -> None:
    with connect(stack, autocommit=True) as db:
        assert ensure_camera(db, "client-a") == ("client-a", "default")
        camera_names.rename(db, "client-a", "client-b")
        assert ensure_camera(db, "client-a") == ("client-a", "default")
        assert ensure_camera(db, "client-b") == ("client-a", "default")
        # Whoever has the name comes first.
        new = cameras.add(db, validated(NewCamera, camera_id="client-a", uri="rtsp://h/x"))
        assert ensure_camera(db, "client-a") == (new.camera_id, "default")
        db.execute("DELETE FROM cameras WHERE name LIKE 'client-_'")
