"""`sightline run all` with every service of ours."""

import json
import signal
import socket
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from ops.local_stack.process_registry import SUPERVISOR, ServiceProcess, running_services
from sightline.runtime.settings import Settings
from tests.stack.commands_support import command as in_process
from tests.stack.test_up_down import processes
from tests.support import environment, eventually, program, run_sightline, sightline_command

pytestmark = pytest.mark.stack


def services(home: Path) -> dict[str, ServiceProcess]:
    return {one.name: one for one in running_services(Settings(home=home))}


def count(home: Path, name: str) -> int:
    return sum(one.name == name for one in running_services(Settings(home=home)))


def rows(home: Path, *command: str) -> list[dict[str, Any]]:
    """What `health --json` or `status --json` says of services; it has to fail."""
    result = in_process(Settings(home=home), *command, "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    return list(found["services"] if isinstance(found, dict) else found)


def failing_api(home: Path, command: str) -> list[dict[str, Any]]:
    """The row of the API, once it has failed more than once."""
    return [
        one
        for one in rows(home, command)
        if (one["service"], one["state"]) == ("api", "down") and "times in a row" in one["detail"]
    ]


def test_all_services_run_come_back_and_go_down_with_the_stack(home: Path) -> None:
    """One life: nothing is set up, nothing runs, all run, nothing does."""
    early = run_sightline(home, "run", "all", check=False)
    assert early.returncode == 1
    assert early.stderr.startswith(f"sightline: nothing is set up in {home}: run `sightline up`")
    run_sightline(home, "up")
    nothing = run_sightline(home, "health", "--json", check=False)
    assert (nothing.returncode, nothing.stdout) == (1, "[]\n")
    assert (
        nothing.stderr == f"sightline: no service of {home} runs: `sightline run all` starts them\n"
    )
    nothing = run_sightline(home, "status")  # no service is to run
    assert "Services: none; `sightline run all` starts them" in nothing.stdout

    names = {point.name for point in entry_points(group="sightline.services")}
    log = home / "services.log"
    env = environment(home, SIGHTLINE_PACK="dlib", SIGHTLINE_API__PORT="0")
    command = sightline_command("run", "all", "--vision-workers", "2")
    with program(command, log, env=env) as supervisor:
        eventually(lambda: services(home).keys() == names | {SUPERVISOR})
        eventually(lambda: count(home, "vision") == 2)

        again = run_sightline(home, "run", "all", check=False)
        assert again.returncode == 1
        assert "run already" in again.stderr

        killed = services(home)["outbox"]
        killed.process.send_signal(signal.SIGKILL)
        eventually(lambda: services(home).get("outbox", killed).pid != killed.pid)

        down = run_sightline(home, "down")
        assert down.stdout.startswith("stopped: all")
        assert supervisor.wait(120) == 0, log.read_text()
    assert services(home) == {}
    assert processes(home) == []


def assert_health_and_status_tell_of_the_api(home: Path, port: int) -> None:
    """All the others serve, and the API cannot, whose port is another program's."""
    names = {point.name for point in entry_points(group="sightline.services")}

    def well() -> bool:
        return {one["service"] for one in rows(home, "health") if one["state"] == "ready"} == (
            names | {SUPERVISOR}
        ) - {"api"}

    eventually(well, what="the others serve")
    why = f"cannot listen on 127.0.0.1 port {port} (Address already in use)"
    for command, instance in (("health", f"api {socket.gethostname()}-1"), ("status", "api")):
        [row] = eventually(partial(failing_api, home, command))
        assert row["detail"].startswith("ended with status 1 ")
        assert why in row["detail"]
        shown = run_sightline(home, command, check=False, env={"COLUMNS": "80"})
        assert shown.returncode == 1
        told = [line for line in shown.stdout.splitlines() if line.startswith(f"{instance}: ")]
        assert len(told) == 1
        assert why in told[0]
        tables = [line for line in shown.stdout.splitlines() if line not in told]
        assert max(map(len, tables)) <= 80


def test_an_unknown_service_is_named_with_those_that_are(home: Path) -> None:
    result = run_sightline(home, "run", "wings", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("sightline: no service wings: choose one of all, access-log")
