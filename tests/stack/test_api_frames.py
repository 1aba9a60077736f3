"""`process-frame`: vision embeds and the matching stream decides, as for a camera."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app_context import AppContext
from api.crop_decisions import CropDecisions
from api.settings import ApiSettings
from schemas import sightline_pb2 as pb
from schemas.topics import FACES, SIGHTINGS, SNAPSHOTS
from sightline.runtime.clock import US_PER_SECOND, SystemClock
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sinks.access_log import AccessLog
from tests.api_support import (
    base64_of,
    blurred_crop_of,
    client_of,
    crop_of,
    good,
    jpeg,
    photo_of,
    problem,
)
from tests.match_support import Worker, worker
from tests.stack import crops_support
from tests.stack.crops_support import SHOTS, URL, of_camera, settings_of, vision_worker
from tests.stack.sinks_support import write
from tests.support import eventually, read_topic

pytestmark = pytest.mark.stack

CAMERA = "api-frames"


def ask(client: TestClient, *crops: tuple[int, bytes], camera: str = CAMERA) -> dict[str, Any]:
    return crops_support.ask(client, *crops, camera=camera)


@pytest.fixture(scope="module")
def vision(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = tmp_path_factory.mktemp("vision") / "vision.log"
    with vision_worker(stack, log) as process:
        yield
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


@pytest.fixture(scope="module")
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(settings_of(stack)) as one:
        yield one


@pytest.fixture(scope="module")
def employee(client: TestClient) -> Iterator[dict[str, Any]]:
    done = good(
        client.post(
            "/api/module1/enroll", data={"name": "Frame Ana"},
            files={"photo": ("ana.jpg", photo_of(0))},
        )
    )  # fmt: skip
    yield done
    client.delete(f"/api/v1/employees/{done['employee_id']}")


@pytest.fixture(scope="module")
def matcher(
    stack: Settings,
    vision: None,
    employee: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worker]:
    with worker(stack, tmp_path_factory.mktemp("match")) as one:
        eventually(lambda: "match: ready" in one.log(), 60, "the matcher is ready")
        yield one
        assert one.stop() == 0, one.log()


def test_without_vision_or_a_matcher_it_is_worth_another_try(
    stack: Settings, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Vision begins amid the test, and serves those after it; no matcher runs before them."""
    tracks = [{"track_id": 1, "face_crop": base64_of(crop_of(0))}]
    body = {"track_ids": tracks, "camera_id": "api-none"}
    with client_of(settings_of(stack, api=ApiSettings(decision_seconds=0.3))) as impatient:
        told = problem(impatient.post(URL, json=body), 503)
        assert "matching stream" in told["detail"]
        assert "does `vision` run?" in caplog.text
    patient = settings_of(stack, api=ApiSettings(decision_seconds=15))
    request.getfixturevalue("vision")
    with client_of(patient) as client:
        eventually(
            lambda: (
                problem(client.post(URL, json=body), 503) and "does `match` run?" in caplog.text
            ),
            90,
            "the API tells that it is the matcher",
        )


def test_an_enrolled_face_is_named_and_then_known_without_looking(
    client: TestClient, stack: Settings, matcher: Worker, employee: dict[str, Any]
) -> None:
    answers = [ask(client, (7, crop_of(0, shot))) for shot in range(SHOTS)]
    assert [one["errors"] for one in answers] == [[]] * SHOTS
    [last] = answers[-1]["identities"]
    assert (last["track_id"], last["name"], last["is_cached"]) == (7, "Frame Ana", False)
    assert last["is_authorized"] is True
    assert last["face_id"] == employee["face_id"]
    assert 90 <= last["confidence"] <= 100
    assert answers[-1]["unknown_count"] == 0

    [cached] = ask(client, (7, crop_of(0, 9)))["identities"]
    assert cached == last | {"is_cached": True}
    said = [
        one for one in of_camera(stack, SIGHTINGS.name, pb.Sighting, CAMERA)
        if one.sighting_id == last["access_log_id"]
    ]  # fmt: skip
    assert said
    assert {one.person_id for one in said if one.global_id} == {employee["employee_id"]}
    # The API and the cameras' log never disagree: the log's own writer makes this row.
    write(stack, AccessLog(stack), said)
    [row] = good(client.get("/api/module1/access-logs", params={"person_name": "Frame Ana"}))
    assert row["id"] == last["access_log_id"]
    assert (row["camera_id"], row["employee_id"]) == (CAMERA, employee["employee_id"])
    assert (row["track_id"], row["location_x"]) == (7, None)
    assert of_camera(stack, SNAPSHOTS.name, pb.Snapshot, CAMERA)


def test_strangers_are_unknown_and_bad_crops_are_told_apart(
    client: TestClient, matcher: Worker
) -> None:
    for shot in range(SHOTS):
        told = ask(client, (21, crop_of(4, shot)), (22, b"no picture"), (23, b""))
    assert {one["track_id"] for one in told["identities"]} == {21}
    assert {(one["track_id"], one["reason"]) for one in told["errors"]} == {
        (22, "INVALID_IMAGE_FORMAT"), (23, "INVALID_IMAGE_FORMAT"),
    }  # fmt: skip
    [stranger] = told["identities"]
    assert (stranger["name"], stranger["is_authorized"]) == ("Unknown", False)
    assert stranger["face_id"] is None
    assert stranger["access_log_id"] is not None  # several shots agree: somebody, whoever
    assert told["unknown_count"] == 1


def test_two_faces_of_one_frame_are_never_one_person(client: TestClient, matcher: Worker) -> None:
    for shot in range(SHOTS):
        ask(client, (41, crop_of(0, shot)), (42, crop_of(0, shot)))

    def names() -> list[str]:
        told = ask(client, (41, crop_of(0)), (42, crop_of(0)))
        return sorted(one["name"] for one in told["identities"])

    # The name may have gone from one to the other with the last crop, which is two decisions.
    eventually(lambda: names() == ["Frame Ana", "Unknown"], 30, "one of them is Ana")


def test_a_frame_alone_and_a_wall_tell_nothing(client: TestClient, matcher: Worker) -> None:
    whole = good(client.post(URL, json={"frame": base64_of(photo_of(1))}))
    assert (whole["identities"], whole["errors"]) == ([], [])


def test_who_may_not_come_in_any_more_is_told_at_once(
    client: TestClient, matcher: Worker, employee: dict[str, Any]
) -> None:
    for shot in range(SHOTS):
        ask(client, (31, crop_of(0, shot)))
    url = f"/api/v1/employees/{employee['employee_id']}"
    good(client.patch(url, json={"status": "suspended"}))
    [now] = ask(client, (31, crop_of(0)))["identities"]
    assert (now["name"], now["is_cached"], now["is_authorized"]) == ("Frame Ana", True, False)
    good(client.patch(url, json={"status": "active"}))
    assert ask(client, (31, crop_of(0)))["identities"][0]["is_authorized"] is True


def test_the_camera_is_there_for_the_logs_and_is_not_read(
    client: TestClient, stack: Settings, matcher: Worker
) -> None:
    ask(client, (1, crop_of(1)))
    with connect(stack) as db:
        row = db.execute(
            "SELECT enabled, slot, site_id FROM cameras WHERE camera_id = %s", (CAMERA,)
        ).fetchone()
    assert row == (False, None, "default")
    assert CAMERA not in [one["camera_id"] for one in good(client.get("/api/v1/cameras"))]


class Hours(SystemClock):
    """A clock that can be put forward."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


def test_tracks_end_when_nobody_asks_for_them_and_when_the_api_ends(
    stack: Settings, matcher: Worker
) -> None:
    numbers = count(1)

    def ended(camera: str) -> list[pb.TrackEnded]:
        events = [
            pb.FaceEvent.FromString(one.value or b"") for one in read_topic(stack, FACES.name)
        ]
        ends = [one.track_ended for one in events if one.HasField("track_ended")]
        return [one for one in ends if one.camera_id == camera]

    with client_of(settings_of(stack)) as client:
        ask(client, (next(numbers), crop_of(0)), camera="api-ends")
    [end] = eventually(lambda: ended("api-ends"), 60, "the end of the tracks of an API that ends")
    assert (end.observations, end.frames) == (1, 1)

    clock = Hours()
    with client_of(settings_of(stack)) as client:
        context: AppContext = client.app.state.context  # type: ignore[attr-defined]
        crops = CropDecisions(context.settings, clock)
        object.__setattr__(context, "crops", crops)
        ask(client, (next(numbers), crop_of(0)), camera="api-idle")
        clock.ahead_us = 3600 * US_PER_SECOND
        crops.end_idle_now()
        eventually(lambda: ended("api-idle"), 60, "the end of an idle track")
        crops.close(5)


def test_a_crop_without_a_good_face_is_an_error_with_its_reason(
    client: TestClient, matcher: Worker
) -> None:
    wall = jpeg(np.full((120, 120, 3), 127, np.uint8))
    told = ask(client, (51, wall), (52, blurred_crop_of(0)))
    assert told["identities"] == []
    assert [(one["track_id"], one["reason"]) for one in told["errors"]] == [
        (51, "NO_FACE"), (52, "LOW_SHARPNESS"),
    ]  # fmt: skip
    assert told["errors"][0]["message"] == "track 51: no face found"
