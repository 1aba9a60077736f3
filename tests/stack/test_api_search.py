"""Search by face over HTTP: real faces, embedded by the pack that is on every machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from processors.vision.crop_faces import find_face
from schemas.ids import global_id
from sightline.models.interface import Float32Array, ModelPack
from sightline.models.packs import load_pack
from sightline.people.picture_files import Photo, to_upright_jpeg
from sightline.people.query_face import checked_query_face
from sightline.runtime.clock import to_datetime
from sightline.runtime.settings import Settings
from sightline.storage.objects import open_store
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.snapshots import Snapshots
from tests.api_support import base64_of, client_of, crop_of, good, jpeg, photo_of, problem
from tests.manual_clock import ManualClock
from tests.stack.sinks_support import World, at, new_world, write
from tests.support import run_sightline

pytestmark = pytest.mark.stack

SEARCH = "/api/v1/search"
KEPT = "/api/detected-persons/search-by-face"
DAY = 86_400.0


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(stack) as one:
        yield one


@pytest.fixture(scope="module")
def vectors(stack: Settings) -> list[Float32Array]:
    settings = stack.model_copy(update={"pack": "dlib"})
    pack = load_pack(settings)
    photos = [Photo(f"{member}", crop_of(member)) for member in range(5)]
    return [_embedding(photo, pack, settings) for photo in photos]


def _embedding(photo: Photo, pack: ModelPack, settings: Settings) -> Float32Array:
    image = cv2.imdecode(np.frombuffer(to_upright_jpeg(photo), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    pixels = np.asarray(image, np.uint8)
    face = find_face(pixels, pack.faces)
    assert face is not None
    return checked_query_face(pixels, face, photo.label, pack, settings)


@pytest.fixture(scope="module")
def world(stack: Settings, vectors: list[Float32Array]) -> Iterator[World]:
    """An employee (0) and strangers (1, 4) at a door; the employee and 4 in a yard a day later."""
    with new_world(stack) as one:
        employee, yard = one.add_employee("Ann"), one.add_camera("yard")
        seen: list[tuple[int, float, str, dict[str, Any]]] = [
            (0, 0, one.camera, {"employee": employee}), (1, 10, one.camera, {"stranger": "1"}),
            (4, 20, one.camera, {"stranger": "4"}), (0, DAY, yard, {"employee": employee}),
            (4, DAY + 10, yard, {"stranger": "4"}),
        ]  # fmt: skip
        sightings = [
            one.sighting(
                start=start, decided=start + 1, camera=camera, pack="dlib",
                template=vectors[member].astype("<f4").tobytes(), **who,
            )
            for member, start, camera, who in seen
        ]  # fmt: skip
        shots = [one.shot(start=0), one.shot(start=DAY + 10, captured=DAY + 10.5, camera=yard)]
        write(stack, AccessLog(stack), sightings)
        write(stack, Snapshots(stack, open_store(stack)), [*sightings, *shots])
        later = ManualClock(at(2 * DAY))
        write(stack, PersonState(stack, later), sightings, idle=True)
        yield one
        one.db.execute("DELETE FROM person_tracks WHERE camera_id LIKE %s", (f"%{one.id}",))


def days_of(world: World, told: dict[str, Any]) -> list[dict[str, Any]]:
    assert told["pack"] == "dlib"
    assert told["total"] == sum(len(day["sightings"]) for day in told["days"])
    best = [day["best_score"] for day in told["days"]]
    assert best == sorted(best, reverse=True)
    mine = [day for day in told["days"] if day["camera_id"].endswith(world.id)]
    return sorted(mine, key=lambda day: str(day["day"]))


def test_a_photo_finds_where_and_when_with_score_and_picture(
    client: TestClient, world: World
) -> None:
    told = good(client.post(SEARCH, files={"photo": ("ann.jpg", photo_of(0))}))
    days = days_of(world, told)
    assert [(day["camera_id"].split("-")[0], len(day["sightings"])) for day in days] == [
        ("door", 1), ("yard", 1),
    ]  # fmt: skip
    assert days[0]["day"] < days[1]["day"]
    found = [one for day in days for one in day["sightings"]]
    assert {one["name"] for one in found} == {f"Ann {world.id}"}
    assert all(one["score"] >= told["threshold"] for one in found)
    assert days[0]["best_score"] == found[0]["score"] > 0.93
    assert found[1]["snapshot_url"] is None
    assert client.get(found[0]["snapshot_url"]).content == b"picture 0 0.5"


def test_strangers_are_found_too_by_vector_camera_and_time(
    client: TestClient, world: World, vectors: list[Float32Array]
) -> None:
    body = {"vector": (vectors[4] * 7).tolist()}  # an arrow of any length
    days = days_of(world, good(client.post(SEARCH, json=body)))
    found = [one for day in days for one in day["sightings"]]
    assert {one["global_id"] for one in found} == {global_id("4" + world.id)}
    assert [one["name"] for one in found] == ["Unknown"] * 2
    assert found[0]["score"] == pytest.approx(1, abs=1e-5)
    where = {"camera": f"yard-{world.id}"}
    assert len(days_of(world, good(client.post(SEARCH, json=body, params=where)))) == 1
    where = {"until": f"{to_datetime(at(3600)):%Y-%m-%dT%H:%M:%S}"}
    [day] = days_of(world, good(client.post(SEARCH, json=body, params=where)))
    assert day["camera_id"] == world.camera


def test_the_command_line_finds_the_same(
    stack: Settings, client: TestClient, world: World, tmp_path: Path
) -> None:
    photo = tmp_path / "ann.jpg"
    photo.write_bytes(photo_of(0))
    dlib = {"SIGHTLINE_PACK": "dlib"}
    done = run_sightline(stack.home, "search", str(photo), "--json", env=dlib)
    told = good(client.post(SEARCH, files={"photo": ("ann.jpg", photo_of(0))}))
    tracks = [one["track_uuid"] for day in told["days"] for one in day["sightings"]]
    assert sorted(one["track_uuid"] for one in json.loads(done.stdout)) == sorted(tracks)
    photo.write_bytes(b"no picture")
    done = run_sightline(stack.home, "search", str(photo), check=False, env=dlib)
    assert done.returncode == 1
    assert "ann.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_old_route_finds_people(
    client: TestClient, world: World, vectors: list[Float32Array]
) -> None:
    wanted = global_id("1" + world.id)
    for answer in (
        client.post(KEPT, json={"face_embedding": vectors[1].tolist(), "threshold": 0.95}),
        client.post(KEPT, json={"photo": base64_of(crop_of(1)), "threshold": 0.95}),
        client.post(KEPT, data={"threshold": "0.95"}, files={"photo": ("c.jpg", crop_of(1))}),
    ):
        matches = good(answer)["matches"]
        [mine] = [one for one in matches if one["global_id"] == wanted]
        assert mine == {"global_id": wanted, "similarity": pytest.approx(1, abs=1e-3)}
    everybody = good(client.post(KEPT, json={"face_embedding": vectors[1].tolist()}))["matches"]
    scores = [one["similarity"] for one in everybody]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.6


@pytest.mark.parametrize("url", [SEARCH, KEPT])
@pytest.mark.parametrize(
    "body",
    [
        {"face_embedding": [0.1] * 127},
        {"face_embedding": [0.1] * 129},
        {"face_embedding": []},
        {"face_embedding": [0.0] * 128},
        {"face_embedding": [float("nan")] * 128},
        {"face_embedding": [float("inf")] + [0.1] * 127},
        {"face_embedding": ["a"] * 128},
        {"face_embedding": [0.1] * 5000},
        {"face_embedding": "vector"},
        {"face_embedding": [0.1] * 128, "threshold": float("nan")},
        {"face_embedding": [0.1] * 128, "threshold": 2},
        {"face_embedding": [0.1] * 128, "limit": 0},
        {"face_embedding": [0.1] * 128, "photo": "eA=="},
        {"photo": ""},
        {"photo": "eA=="},
        {},
        [],
    ],
)
def test_what_is_no_face_is_refused(client: TestClient, url: str, body: Any) -> None:
    text = json.dumps(body)  # NaN and Infinity as Python and JavaScript's friends write them
    response = client.post(url, content=text, headers={"content-type": "application/json"})
    problem(response, 422)


def test_photos_without_exactly_one_face_are_refused(client: TestClient) -> None:
    wall = jpeg(np.full((300, 300, 3), 128, np.uint8))
    refused = client.post(SEARCH, files={"photo": ("wall.jpg", wall)})
    problem(refused, 422, "NO_FACE")
    problem(client.post(SEARCH, files={"photo": ("x.jpg", b"")}), 422, "INVALID_IMAGE_FORMAT")
    two = [("photo", ("a.jpg", photo_of(0))), ("photo", ("b.jpg", photo_of(0)))]
    problem(client.post(SEARCH, files=two), 422)
    problem(client.post(SEARCH, content=b"x", headers={"content-type": "image/jpeg"}), 415)
