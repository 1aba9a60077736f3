"""`sightline run all` with every service of ours."""

import signal
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sightline.settings import Settings
from sightline.stack.running import SUPERVISOR, Running, running_services
from tests.stack.test_up_down import processes
from tests.support import environment, eventually, run_sightline, sightline_command

pytestmark = pytest.mark.stack


def services(home: Path) -> dict[str, Running]:
    return {one.name: one for one in running_services(Settings(home=home))}


def count(home: Path, name: str) -> int:
    return sum(one.name == name for one in running_services(Settings(home=home)))


def test_all_services_run_come_back_and_go_down_with_the_stack(home: Path) -> None:
    run_sightline(home, "up")
    names = {point.name for point in entry_points(group="sightline.services")}
    log = home / "services.log"
    with log.open("wb") as output, subprocess.Popen(
        sightline_command("run", "all", "--vision-workers", "2"),
        env=environment(home, SIGHTLINE_PACK="dlib", SIGHTLINE_API__PORT="0"), stderr=output,
    ) as supervisor:  # fmt: skip
        try:
            eventually(lambda: services(home).keys() == names | {SUPERVISOR}, 60)
            eventually(lambda: count(home, "vision") == 2, 60)

            again = run_sightline(home, "run", "all", check=False)
            assert again.returncode == 1
            assert "run already" in again.stderr

            killed = services(home)["outbox"]
            killed.process.send_signal(signal.SIGKILL)
            eventually(lambda: services(home).get("outbox", killed).pid != killed.pid, 60)

            down = run_sightline(home, "down")
            assert down.stdout.startswith("stopped: all")
            assert supervisor.wait(10) == 0, log.read_text()
        finally:
            supervisor.kill()
    assert services(home) == {}
    assert processes(home) == []


def test_an_unknown_service_is_named_with_those_that_are(home: Path) -> None:
    result = run_sightline(home, "run", "wings", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("sightline: no service wings: choose one of all, access-log")
