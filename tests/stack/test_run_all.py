"""What `run`, `health` and `status` say of services that do not run.

All of them run in tests/stack/test_secure_stack.py.
"""

import json
import socket
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from ops.local_stack.process_registry import SUPERVISOR
from sightline.runtime.settings import Settings
from tests.stack.commands_support import command as in_process
from tests.support import eventually, run_sightline

pytestmark = pytest.mark.stack


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


def test_without_a_stack_services_are_one_line(home: Path) -> None:
    result = run_sightline(home, "run", "all", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(f"sightline: nothing is set up in {home}: run `sightline up`")
