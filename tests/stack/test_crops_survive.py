"""Crops on real parts: a vision worker is killed, and the one after it goes on with its tracks."""

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from schemas import sightline_pb2 as pb
from schemas.topics import FACES
from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.settings import Settings
from tests.api_support import client_of, crop_of, good, photo_of
from tests.match_support import worker
from tests.stack.crops_support import SHOTS, ask, settings_of, vision_worker
from tests.support import eventually, read_messages

pytestmark = pytest.mark.stack


CAMERA = "crops-survive"


@pytest.fixture
def client(stack: Settings) -> Iterator[TestClient]:
    with client_of(settings_of(stack)) as client:
        photo = {"photo": ("ana.jpg", photo_of(0))}
        enrolled = good(client.post("/api/module1/enroll", data={"name": "Crops Ana"}, files=photo))
        yield client
        client.delete(f"/api/v1/employees/{enrolled['employee_id']}")


def observations(stack: Settings) -> list[pb.FaceObservation]:
    events = read_messages(stack, FACES.name, pb.FaceEvent)
    found = [event.observation for event in events if event.HasField("observation")]
    return [observation for observation in found if observation.camera_id == CAMERA]


def test_a_vision_worker_that_is_killed_loses_no_crop_and_no_track(
    stack: Settings, client: TestClient, tmp_path: Path
) -> None:
    log = tmp_path / "vision.log"
    fault = tmp_path / f"vision.{FaultPoint.BEFORE_COMMIT}"
    with worker(stack, tmp_path) as matcher, ThreadPoolExecutor(1) as executor:
        eventually(lambda: "match: ready" in matcher.log(), 120, "the matcher is ready")
        with vision_worker(stack, log, SIGHTLINE_FAULT_INJECTION=str(tmp_path)) as dying:
            first = ask(client, (1, crop_of(0, 0)), camera=CAMERA)
            assert first["errors"] == []
            before = {observation.track_id for observation in observations(stack)}
            fault.touch()
            # This crop's request waits while the worker that has taken it dies, and the next comes.
            second = executor.submit(ask, client, (1, crop_of(0, 1)), camera=CAMERA)
            assert dying.wait(120) == -signal.SIGKILL
            assert not fault.exists()
            with vision_worker(stack, log):
                assert second.result(120)["errors"] == []
                third = ask(client, (1, crop_of(0, 2)), camera=CAMERA)
                cached = ask(client, (1, crop_of(0, 3)), camera=CAMERA)
    [last], [same] = third["identities"], cached["identities"]
    assert (last["name"], last["is_cached"]) == ("Crops Ana", False)
    assert same == last | {"is_cached": True}, "three crops settle the track, whoever took them"
    assert {observation.track_id for observation in observations(stack)} == before, "one track"
    # Each is there twice, as the API waits for its decision, and never more often.
    times = Counter(observation.observation_id for observation in observations(stack))
    assert sorted(times.values()) == [2] * SHOTS
