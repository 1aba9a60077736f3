"""The service `api` as a process: its page's examples, what it loads, how it ends."""

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.app import make_app
from schemas.topics import CROPS
from sightline.runtime.settings import Settings
from tests.api_support import base64_of, crop_of, photo_of
from tests.match_support import worker
from tests.stack.crops_support import vision_worker
from tests.support import (
    ROOT,
    api_key,
    bearer,
    environment,
    eventually,
    program,
    read_topic,
    run_sightline,
    says,
    sightline_command,
)

pytestmark = pytest.mark.stack

PAGE = (ROOT / "docs" / "api.md").read_text()


@contextmanager
def service(stack: Settings, folder: Path, **extra: str) -> Iterator[tuple[str, Any]]:
    """Where the service is, and its process."""
    log = folder / "api.log"
    env = environment(stack.home, SIGHTLINE_PACK="dlib", **{"SIGHTLINE_API__PORT": "0"} | extra)
    with program(sightline_command("run", "api"), log, env=env) as process:
        yield says(process, log, r"api: on (https?://\S+)")[1], process


def named(url: str, mine: dict[str, str], track: int) -> str:
    """Whom `process-frame` sees in her photo, in a track that begins with it."""
    body = {"frame": "", "track_ids": [{"track_id": track, "face_crop": base64_of(photo_of(5))}]}
    done = httpx2.post(f"{url}/api/module1/process-frame", json=body, headers=mine, timeout=120)
    [one] = done.json()["identities"]
    return str(one["name"])


def test_every_route_is_on_the_page(stack: Settings) -> None:
    described = make_app(stack).openapi()["paths"]
    routes = {
        f"{method.upper()} {path}" for path, methods in described.items() for method in methods
    }
    assert set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", PAGE, re.MULTILINE)) == routes


def test_the_examples_of_the_page_work_as_they_stand(
    stack: Settings, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if missing := [name for name in ("curl", "jq", "base64") if shutil.which(name) is None]:
        pytest.skip(f"no {missing[0]} here")
    (tmp_path / "ada.jpg").write_bytes(photo_of(0))
    (tmp_path / "grace.jpg").write_bytes(photo_of(5))
    examples = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    script = tmp_path / "examples.sh"
    folder = tmp_path_factory.mktemp("service")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    mine = bearer(api_key(stack))
    patient = {"SIGHTLINE_API__DECISION_SECONDS": "90"}
    with (
        worker(stack, folder) as matcher,
        vision_worker(stack, folder / "vision.log"),
        service(stack, folder, **patient) as (url, process),
    ):
        eventually(lambda: "match: ready" in matcher.log(), 60)
        script.write_text(examples.replace("http://127.0.0.1:8080", url))
        done = subprocess.run(
            ["bash", "-eux", "-o", "pipefail", script], env=environment(stack.home, PATH=programs),
            cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        assert '"identities":[{' in done.stdout
        # The page asks at once; a matcher knows of somebody new within two seconds.
        tracks = itertools.count(1000)
        eventually(lambda: named(url, mine, next(tracks)) == "Grace Hopper", what="she is known")
        assert (tmp_path / "visitors.csv").read_text().startswith("visitor_log_id,")
        with httpx2.Client() as client:
            waits = [client.get(f"{url}/healthz").elapsed.total_seconds() for _ in range(20)]
        assert min(waits[1:]) < 0.03, "small packets wait for acknowledgements"
        for row in httpx2.get(f"{url}/api/v1/employees", headers=mine).json()["items"]:
            if row["name"] in ("Ada Lovelace", "Grace Hopper"):
                gone = httpx2.delete(f"{url}/api/v1/employees/{row['id']}", headers=mine)
                assert gone.status_code == 204
        process.terminate()
        assert process.wait(20) == 0


def test_a_request_under_way_is_answered_before_the_service_ends(
    stack: Settings, tmp_path: Path
) -> None:
    def asked() -> bool:
        # Read as bytes: other tests leave records that are none.
        return any(b"api-drain" in (one.value or b"") for one in read_topic(stack, CROPS.name))

    answers: list[int] = []
    mine = bearer(api_key(stack))
    with service(stack, tmp_path, SIGHTLINE_API__DECISION_SECONDS="2.5") as (url, process):
        body = {
            "camera_id": "api-drain",
            "track_ids": [{"track_id": 1, "face_crop": base64_of(crop_of(0))}],
        }

        def ask() -> None:
            url_of = f"{url}/api/module1/process-frame"
            done = httpx2.post(url_of, json=body, headers=mine, timeout=30)
            answers.append(done.status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        eventually(asked, 30, "the crop is published; nobody answers")
        process.terminate()
        assert process.wait(20) == 0
        thread.join(10)
    assert answers == [503]


def test_what_is_asked_for_is_not_logged(stack: Settings, tmp_path: Path) -> None:
    mine = bearer(api_key(stack))
    with service(stack, tmp_path) as (url, _process):
        asked = {"person": "Somebody Sought"}
        eventually(lambda: httpx2.get(f"{url}/readyz").status_code == 200, 30, "the API is ready")
        for headers, status in ((mine, 200), ({}, 401)):
            done = httpx2.get(f"{url}/api/v1/sightings", params=asked, headers=headers)
            assert done.status_code == status
        assert httpx2.post(f"{url}/sign-in", json={}).status_code == 422
    said = (tmp_path / "api.log").read_text()
    assert "api: on" in said
    assert not [one for one in ("Sought", "/sightings", "/sign-in", "GET ", "POST ") if one in said]


def test_a_port_that_is_taken_is_one_line(stack: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = {"SIGHTLINE_API__PORT": port}
        done = run_sightline(stack.home, "run", "api", check=False, env=env)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"sightline: cannot listen on 127.0.0.1 port {port}")


def test_no_model_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, api.service;"
        "print(*sorted({'onnxruntime', '_dlib_pybind11', 'insightface', 'faiss', 'faust', 'torch'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
