"""What tests of crops share: a vision worker that embeds them, and a client that sends some."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from api.settings import ApiSettings
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EvidenceSettings
from tests.api_support import base64_of, good
from tests.support import Running, environment, program, read_messages, sightline_command

URL = "/api/module1/process-frame"
SHOTS = 3
PATIENT = ApiSettings(decision_seconds=120)


def settings_of(stack: Settings, **more: Any) -> Settings:
    evidence = EvidenceSettings(observations=SHOTS, interval_seconds=0)
    return stack.model_copy(update={"evidence": evidence, "api": PATIENT} | more)


@contextmanager
def vision_worker(stack: Settings, log: Path, **environ: str) -> Iterator[Running]:
    """A vision worker that takes crops, with the settings of `settings_of`; killed at the end.

    `environ`: more of its environment.
    """
    env = environment(
        stack.home,
        SIGHTLINE_PACK="dlib",
        SIGHTLINE_INSTANCE="1",
        SIGHTLINE_EVIDENCE__OBSERVATIONS=str(SHOTS),
        SIGHTLINE_EVIDENCE__INTERVAL_SECONDS="0",
        **environ,
    )
    with program(sightline_command("run", "vision"), log, env=env) as process:
        yield process


def ask(client: TestClient, *crops: tuple[int, bytes], camera: str) -> dict[str, Any]:
    tracks = [{"track_id": number, "face_crop": base64_of(crop)} for number, crop in crops]
    told: dict[str, Any] = good(
        client.post(URL, json={"frame": "", "track_ids": tracks, "camera_id": camera})
    )
    assert set(told) == {"identities", "unknown_count", "processing_time_ms", "errors"}
    return told


def of_camera(stack: Settings, topic: str, kind: type[Any], camera: str) -> list[Any]:
    found = read_messages(stack, topic, kind)
    return [one for one in found if getattr(one, "camera_id", "") == camera]
