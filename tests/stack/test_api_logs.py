"""What was written, read over HTTP: logs in pages and as CSV, people, cameras, pictures."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from schemas import sightline_pb2 as pb
from schemas.ids import global_id
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import NewCamera
from sightline.storage.objects import open_store
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.runtime.postgres import PostgresSink
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.api_support import client_of, good, problem
from tests.stack.sinks_support import World, at, new_world, write

pytestmark = pytest.mark.stack

ROWS = 7


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one


@pytest.fixture(scope="module")
def world(stack: Settings) -> Iterator[World]:
    """An employee who comes twice, one who may not come in, and strangers."""
    with new_world(stack) as one:
        ann, bob = one.add_employee("Ann"), one.add_employee("=Bob", authorized=False)
        people: list[dict[str, Any]] = [
            {"employee": ann}, {"employee": ann}, {"employee": bob},
            {"stranger": "x"}, {"stranger": "x"}, {"stranger": "y"}, {"stranger": "z"},
        ]  # fmt: skip
        sightings = [
            one.sighting(start=10 * number, decided=10 * number + 1, **who, reason="3 shots agree")
            for number, who in enumerate(people)
        ]
        shots = [one.shot(start=0), one.shot(start=30)]
        sinks: list[tuple[PostgresSink, list[Any]]] = [
            (AccessLog(stack), sightings),
            (Snapshots(stack, open_store(stack)), [*sightings, *shots]),
            (VisitorLog(stack), [
                *sightings, one.motion(pb.MotionEvent.STARTED, 0),
                one.motion(pb.MotionEvent.ENDED, 0, 80), one.frame(80, last=True),
            ]),
            (PersonState(stack), sightings),
        ]  # fmt: skip
        for sink, messages in sinks:
            write(stack, sink, messages, idle=sink.name == "person-state")
        yield one


def wanted(**parameters: Any) -> dict[str, Any]:
    return parameters


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def person(world: World, seed: str) -> int:
    return global_id(seed + world.id)


def test_pages_hold_every_row_once_whatever_comes_meanwhile(
    client: TestClient, world: World, stack: Settings
) -> None:
    url, asked = "/api/v1/sightings", wanted(camera=world.camera, limit=3)
    first = good(client.get(url, params=asked))
    late = world.sighting(start=500, decided=501, stranger="late", camera=world.camera)
    write(stack, AccessLog(stack), [late])
    found, following = first["items"], first["next"]
    while following:
        page = good(client.get(url, params=asked | {"cursor": following}))
        found += page["items"]
        following = page["next"]
    assert len(found) == ROWS
    assert len(set(ids(found))) == ROWS
    times = [datetime.fromisoformat(row["timestamp"]) for row in found]
    assert times == sorted(times, reverse=True)
    assert late.sighting_id not in ids(found)
    world.db.execute("DELETE FROM access_logs WHERE id = %s", (late.sighting_id,))
    for cursor in ("x", "eyJhIjoxfQ", first["next"][:-4], "WyJub3ciLCJub25lIl0"):
        problem(client.get(url, params=asked | {"cursor": cursor}), 422)


def test_rows_are_found_by_person_status_and_time(client: TestClient, world: World) -> None:
    def found(**asked: Any) -> list[dict[str, Any]]:
        params = wanted(camera=world.camera) | asked
        rows: list[dict[str, Any]] = good(client.get("/api/v1/sightings", params=params))["items"]
        return rows

    assert len(found(person=f"Ann {world.id}")) == 2
    assert len(found(person="Unknown")) == 4
    assert len(found(global_id=person(world, "x"))) == 2
    assert [row["flagged"] for row in found(status="unauthorized")] == [True]
    since, until = (to_datetime(at(seconds)).isoformat() for seconds in (11, 31))
    between = found(since=since, until=until)
    assert len(between) == 2
    assert good(client.get(f"/api/v1/sightings/{between[0]['id']}")) == between[0]
    assert found(since=since.removesuffix("+00:00"), until=until) == between  # UTC
    assert between[0]["reason"] == "3 shots agree"
    problem(client.get(f"/api/v1/sightings/{world.track(9999)}"), 404)


def test_the_old_routes_tell_the_same(client: TestClient, world: World) -> None:
    name = f"Ann {world.id}"
    rows = good(client.get("/api/module1/access-logs", params={"person_name": name, "limit": 1}))
    assert [row["person_name"] for row in rows] == [name]
    start, end = (to_datetime(at(seconds)).isoformat() for seconds in (0, 70))
    summary = good(client.get("/api/module1/access-summary", params={"start": start, "end": end}))
    assert set(summary) == {
        "total_accesses", "authorized", "unauthorized", "unknown", "unidentified",
        "authorized_rate", "period",
    }  # fmt: skip
    kinds = summary["authorized"] + summary["unauthorized"] + summary["unknown"]
    assert summary["total_accesses"] == kinds >= ROWS
    assert summary["authorized_rate"] == pytest.approx(summary["authorized"] / kinds)
    assert datetime.fromisoformat(summary["period"]["start"]) == to_datetime(at(0))
    empty = good(client.get("/api/module1/access-summary", params={"end": "1999-01-01"}))
    assert (empty["total_accesses"], empty["authorized_rate"]) == (0, 0)


def test_logs_are_exported_whole_and_run_nothing_in_a_spreadsheet(
    client: TestClient, world: World
) -> None:
    asked = wanted(camera=world.camera, limit=1)
    for url, headers, more in (
        ("/api/v1/sightings", {"accept": "text/csv"}, {}),
        ("/api/v1/visitor-logs", {}, {"format": "csv"}),
    ):
        response = client.get(url, params=asked | more, headers=headers)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/csv")
        assert ".csv" in response.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(response.text)))
        names = [row.get("person_name") or row["persons_name"] for row in rows]
        assert len(rows) == (ROWS if "sightings" in url else 5)
        assert f"'=Bob {world.id}" in names
        page = good(client.get(url, params=asked))["items"][0]
        assert list(page) == list(rows[0])


def test_visits_are_listed(client: TestClient, world: World) -> None:
    asked = {"camera": world.camera, "person": "Unknown"}
    visits = good(client.get("/api/v1/visitor-logs", params=asked))["items"]
    assert {row["global_id"] for row in visits} == {person(world, seed) for seed in "xyz"}


def test_people_are_named_merged_split_and_forgotten(client: TestClient, world: World) -> None:
    x, y, z = (person(world, seed) for seed in "xyz")

    def names(who: int) -> list[str]:
        rows = good(client.get("/api/v1/sightings", params={"global_id": who}))["items"]
        return [row["person_name"] for row in rows]

    url = "/api/v1/persons"
    assert client.put(f"{url}/{x}/name", json={"name": f"Xaver {world.id}"}).status_code == 204
    assert names(x) == [f"Xaver {world.id}"] * 2
    assert good(client.post(f"{url}/{y}/merge", json={"into": x})) == {"global_id": x}
    assert names(x) == [f"Xaver {world.id}"] * 3
    problem(client.post(f"{url}/{y}/merge", json={"into": z}), 409)  # merged already
    problem(client.post(f"{url}/{x}/merge", json={"into": x}), 409)

    shown = good(client.get(f"{url}/{y}"))
    assert (shown["global_id"], shown["merged"]) == (x, [y])
    track = shown["tracks"][0]["track_uuid"]
    new = good(client.post(f"{url}/{x}/split", json={"tracks": [track]}))["global_id"]
    assert len(names(x)) == 2
    assert len(names(new)) == 1
    other = shown["tracks"][1]["track_uuid"]
    newer = good(client.post(f"/api/v1/tracks/{other}/not-this-person"))["global_id"]
    assert len({x, new, newer}) == 3

    assert client.delete(f"{url}/{z}").status_code == 204
    for response in (
        client.put(f"{url}/{z}/name", json={"name": "Nobody"}),
        client.post(f"{url}/17/merge", json={"into": x}),
        client.post(f"{url}/{x}/merge", json={"into": 17}),
        client.post(f"{url}/17/split", json={"tracks": [track]}),
        client.delete(f"{url}/17"),
        client.get(f"{url}/17"),
        client.post(f"/api/v1/tracks/{world.track(9999)}/not-this-person"),
    ):
        problem(response, 404)
    for response in (
        client.put(f"{url}/{x}/name", json={"name": ""}),
        client.put(f"{url}/{x}/name", json={"name": "a\x00b"}),
        client.post(f"{url}/{x}/split", json={"tracks": []}),
        client.post(f"{url}/{x}/split", json={"tracks": ["none"]}),
        client.post(f"{url}/{x}/merge", json={"into": 2**63}),
    ):
        problem(response, 422)


def test_detected_persons_are_told_as_before(client: TestClient, world: World) -> None:
    x = person(world, "x")
    with active(world, x):
        told = good(client.get("/api/detected-persons/active"))
    assert told["active_persons"] == len(told["persons"]) >= 1
    [mine] = [one for one in told["persons"] if one["global_id"] == x]
    assert mine["cameras"] == [world.camera]
    one = good(client.get(f"/api/detected-persons/{x}"))
    assert (one["global_id"], one["is_active"]) == (x, False)
    assert "face_embedding" not in one
    listed = good(client.get("/api/v1/persons", params={"camera": world.camera, "active": False}))
    assert x in [row["global_id"] for row in listed["items"]]


@contextmanager
def active(world: World, who: int) -> Iterator[None]:
    """While somebody is here."""
    query = "UPDATE detected_persons SET is_active = %s WHERE global_id = %s"
    world.db.execute(query, (True, who))
    yield
    world.db.execute(query, (False, who))


def test_pictures_are_served_and_nothing_else(
    client: TestClient, world: World, stack: Settings
) -> None:
    rows = good(client.get("/api/v1/sightings", params={"camera": world.camera}))["items"]
    paths = {row["snapshot_path"] for row in rows} - {None}
    assert len(paths) == 2
    for path in paths:
        response = client.get(f"/api/v1/snapshots/{path}")
        assert response.status_code == 200
        assert response.headers["content-type"] == "image/jpeg"
        assert response.content.startswith(b"picture")
    open_store(stack).put("enrollment_photos/secret.jpg", b"x")
    for path in (
        "enrollment_photos/secret.jpg", "../stack.json", "..%2f..%2fetc%2fpasswd", "%2e%2e/x",
        "known/%00.jpg", "", "known/",
    ):  # fmt: skip
        response = client.get(f"/api/v1/snapshots/{path}")
        assert response.status_code in (404, 422), path
        problem(response, response.status_code)


def test_cameras_are_shown_without_their_secrets(client: TestClient, world: World) -> None:
    name = f"masked-{world.id}"
    uri = "rtsp://user:geheim@192.0.2.7/stream?token=geheim"
    new = cameras.validated(NewCamera, camera_id=name, uri=uri, fleet=name, room_id="hall")
    cameras.add(world.db, new)
    cameras.set_status(world.db, new, "down", f"cannot open {uri}")
    shown = client.get(f"/api/v1/cameras/{name}")
    assert "geheim" not in shown.text
    assert good(shown)["status"] == "down"
    assert "geheim" not in client.get("/api/v1/cameras").text
    assert name in [one["camera_id"] for one in good(client.get("/api/v1/cameras"))]
    problem(client.get("/api/v1/cameras/nowhere"), 404)
    cameras.remove(world.db, name)
    problem(client.get(f"/api/v1/cameras/{name}"), 404)


def test_the_calibration_in_force_says_what_follows_from_it(client: TestClient) -> None:
    assert isinstance(good(client.get("/api/v1/calibrations")), list)
    dlib = good(client.get("/api/v1/calibrations/dlib"))
    assert dlib["calibration"]["pack"] == "dlib"
    assert [one["shots"] for one in dlib["thresholds"]][:2] == [1, 2]
    assert dlib["target_fpir"] == 1e-3
    never = good(client.get("/api/v1/calibrations/never-measured"))
    assert never["calibration"]["measured"] is False
