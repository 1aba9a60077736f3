"""`sightline up --monitoring`, and the alerts that a killed camera, worker and database raise."""

import json
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from ops.local_stack.database import Database
from ops.local_stack.embedded import down
from ops.local_stack.monitoring import Prometheus, alerts, query_prometheus, set_monitoring
from ops.local_stack.status import status
from sightline.runtime.connection_urls import StackState
from sightline.runtime.settings import Settings
from tests.http_camera import camera_server
from tests.monitoring_support import PROMETHEUS, RUNBOOK, faster
from tests.stack.camera_support import add_camera
from tests.stack.test_run_all import assert_health_and_status_tell_of_the_api
from tests.support import (
    Running,
    environment,
    eventually,
    own_home,
    program,
    run_sightline,
    sightline_command,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus"),
]

_FACTOR = 20.0
"""By what the alerts' times are shorter than in life."""

_SECONDS = 60.0
"""What waits for a minute waits for 3 s here; the rest is for a busy machine."""


_PATIENCE = 250.0
"""For a stack to come up on a busy machine."""

NOTHING = ("ServiceDown", "Every service does not answer.")
CAMERA = ("CameraDown", "Camera door gives no frames.")
API = ("ServiceDown", "api does not answer.")
WORKER = ("ServiceDown", "visitor-log does not answer.")
SINK = ("SinkStuck", "access-log waits for the database: no rows are written.")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose monitoring looks often and does not wait long."""
    rules = tmp_path_factory.mktemp("alerts") / "rules"
    faster(PROMETHEUS / "rules", _FACTOR, rules)
    with own_home() as home:
        (home / "config.yaml").write_text(f"monitoring: {{scrape_seconds: 1, rules: {rules}}}\n")
        run_sightline(home, "up", "--monitoring", seconds=_PATIENCE)
        yield home


@contextmanager
def running(home: Path, name: str) -> Iterator[Running]:
    """A service without a supervisor; its log goes to a file of the home."""
    log = home / f"{name}.log"
    with program(sightline_command("run", name), log, env=environment(home)) as process:
        yield process  # how they drain is told elsewhere


def port(home: Path) -> int:
    ports = StackState.load(home)
    assert ports is not None and ports.prometheus is not None
    return ports.prometheus


def firing(home: Path) -> set[tuple[str, str]]:
    """What fires, with what it says."""
    return {(one["alert"], one["summary"]) for one in alerts(port(home))}


def value(home: Path, query: str) -> float | None:
    found = query_prometheus(port(home), "query", {"query": query})["result"]
    return float(found[0]["value"][1]) if found else None


def test_what_is_killed_is_told_in_time_and_the_run_book_helps(watched: Path) -> None:
    home = watched
    eventually(lambda: NOTHING in firing(home), _SECONDS, "nothing runs yet")
    with ExitStack() as parts:
        camera = parts.enter_context(ExitStack())
        add_camera(
            Settings(home=home),
            "door",
            camera.enter_context(camera_server(pause_seconds=0.2)) + "/video",
            "default",
            motion=False,
            fps=2,
        )
        worker = parts.enter_context(running(home, "visitor-log"))
        for name in ("cameras", "access-log"):
            parts.enter_context(running(home, name))
        eventually(lambda: value(home, "sum(up)") == 3, what="all are found")
        eventually(lambda: value(home, "sightline_camera_up") == 1, _SECONDS)
        eventually(lambda: not firing(home), _SECONDS, "all is well")

        camera.close()
        worker.send_signal(signal.SIGKILL)
        Database(home).stop()
        eventually(lambda: firing(home) >= {CAMERA, WORKER, SINK}, _SECONDS, "all are told")
        shown = status(Settings(home=home)).alerts
        told = {(one["alert"], one["summary"]): one for one in shown}
        assert told.keys() >= {CAMERA, WORKER, SINK}
        assert told[SINK]["severity"] == "critical"
        for one in (CAMERA, WORKER, SINK):
            assert (RUNBOOK.parent.parent / told[one]["help"]).is_file()

        run_sightline(home, "up", seconds=_PATIENCE)  # as the page of SinkStuck says
        parts.enter_context(running(home, "visitor-log"))  # as that of ServiceDown does
        eventually(lambda: not firing(home) & {WORKER, SINK}, _SECONDS, "it has helped")


def test_a_service_that_cannot_start_and_frames_that_are_skipped_are_told(watched: Path) -> None:
    home = watched
    log = home / "all.log"
    with ExitStack() as parts:
        taken = parts.enter_context(socket.create_server(("127.0.0.1", 0)))
        video = parts.enter_context(camera_server(pause_seconds=0.2)) + "/video"
        add_camera(Settings(home=home), "gate", video, "default", motion=False, fps=2)
        port = int(taken.getsockname()[1])
        extra = {
            "SIGHTLINE_PACK": "dlib",
            "SIGHTLINE_API__PORT": str(port),
            "SIGHTLINE_VISION__SHED_ABOVE_SECONDS": "0.001",  # every frame is too old
        }
        everything = sightline_command("run", "all", "--vision-workers", "1")
        supervisor = parts.enter_context(program(everything, log, env=environment(home, **extra)))
        parts.callback(supervisor.wait, 60)
        parts.callback(supervisor.terminate)
        # Prometheus is cheap to ask; a status asks every service.
        eventually(lambda: API in firing(home), _PATIENCE, "the supervisor tells of the API")
        eventually(lambda: skipping(home, "gate"), _PATIENCE, "the alert names the camera")
        assert_health_and_status_tell_of_the_api(home, port)
        eventually(
            lambda: [
                line for line in log.read_text().splitlines()
                if "WARNING" in line and "vision: camera gate: " in line
            ],
            _SECONDS, "vision warns",
        )  # fmt: skip
        for command in (("status",), ("camera", "list")):
            shown = run_sightline(home, *command, "--json", check=False)
            found = json.loads(shown.stdout)
            assert shown.returncode == (command == ("status",))  # for the API
            [row] = [
                one for one in (found["cameras"] if isinstance(found, dict) else found)
                if "gate" in (one.get("camera"), one.get("name"))
            ]  # fmt: skip
            assert row["skipped_ratio"] > 0.1
            assert re.fullmatch(r"overloaded: \d+% of frames skipped", row["detail"])
        text = run_sightline(home, "camera", "list", env={"COLUMNS": "200"}).stdout
        assert "overloaded: " in text
    [line] = [one for one in log.read_text().splitlines() if "vision: camera gate: " in one]
    assert "frames-skipped.md" in line


def skipping(home: Path, camera: str) -> bool:
    """Whether the alert says that frames of a camera are skipped."""
    wanted = re.compile(rf"Vision skips [\d.]+% of the frames of camera {camera}\.")
    return any(alert == "FramesSkipped" and wanted.fullmatch(said) for alert, said in firing(home))


def test_monitoring_is_on_loopback_stays_with_its_home_and_goes(watched: Path) -> None:
    home = watched
    (process,) = Prometheus(home).running()
    listening = {
        one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    rules = query_prometheus(port(home), "rules")["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}

    settings = Settings(home=home)
    process.kill()
    process.wait(120)
    assert {"prometheus": "down"}.items() <= parts(settings).items()
    run_sightline(home, "up", seconds=_PATIENCE)
    assert len(Prometheus(home).running()) == 1
    assert {"prometheus": "up"}.items() <= parts(settings).items()
    assert "Prometheus" in down(settings)
    assert Prometheus(home).running() == []
    set_monitoring(settings, enabled=False)
    assert "prometheus" not in parts(settings)


def parts(settings: Settings) -> dict[str, str]:
    return {part["part"]: part["state"] for part in status(settings).parts}
