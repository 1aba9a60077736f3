"""`docker-compose.yml`: read by a real parser, and each of its commands started natively."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.topics import MAX_RECORD_BYTES
from sightline.endpoints import StackPorts, kafka_servers
from sightline.settings import Settings
from tests.support import ROOT, environment, eventually

OURS = "sightline:local"


def parse(**env: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose here: see deploy/install-test-tools")
    return subprocess.run(
        [program, "-f", "docker-compose.yml", "config"],
        cwd=ROOT, env={"PATH": os.environ["PATH"]} | env,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def compose(password: str) -> dict[str, Any]:
    result = parse(POSTGRES_PASSWORD=password)
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = yaml.safe_load(result.stdout)["services"]
    return services


def test_there_is_no_default_password() -> None:
    result = parse()
    assert result.returncode != 0
    assert "POSTGRES_PASSWORD" in result.stderr


def test_every_service_is_there_and_workers_scale() -> None:
    services = compose("secret")
    ours = {name: service for name, service in services.items() if service["image"] == OURS}
    names = {point.name for point in entry_points(group="sightline.services")}
    assert {name: service["command"] for name, service in ours.items()} == {"init": ["up"]} | {
        name: ["run", name] for name in names
    }
    assert not any("container_name" in service for service in ours.values())
    assert {name for name, service in ours.items() if "ports" in service} == {"api"}
    assert {services[name]["image"] for name in services.keys() - ours.keys()} == {
        "apache/kafka:4.3.0",
        "pgvector/pgvector:pg18",
    }


def test_what_is_published_is_on_loopback_and_kafka_takes_our_records() -> None:
    services = compose("secret")
    published = [str(port) for service in services.values() for port in service.get("ports", ())]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert services["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"] == MAX_RECORD_BYTES


def native(given: dict[str, str], stack: Settings, home: Path) -> dict[str, str]:
    """A service's environment with the hosts, ports and folders of this machine."""
    ports = StackPorts.load(stack.home)
    assert ports is not None
    places = {
        "kafka:9092": kafka_servers(stack),
        "@postgres:5432": f"@127.0.0.1:{ports.postgres}",
        "0.0.0.0": "127.0.0.1",
        "9100": "0",  # here they share one host
        "8080": "0",
        "/data": str(home),
    }
    env = {}
    for name, value in given.items():
        for there, here in places.items():
            value = value.replace(there, here)  # noqa: PLW2901
        env[name] = value
    return env


@pytest.mark.stack
def test_each_command_comes_up_natively_and_stops(stack: Settings, home: Path) -> None:
    ports = StackPorts.load(stack.home)
    assert ports is not None
    services = compose(ports.postgres_password)
    logs = {}
    with ExitStack() as ending:

        def start(name: str) -> "subprocess.Popen[bytes]":
            env = environment(home, **native(services[name]["environment"], stack, home))
            # The pack that is on every machine: this is no test of fetching models.
            env["SIGHTLINE_PACK"] = "dlib"
            logs[name] = home / f"{name}.log"
            process = subprocess.Popen(
                [sys.executable, "-m", "sightline", *services[name]["command"]],
                env=env, stderr=ending.enter_context(logs[name].open("wb")),
            )  # fmt: skip
            ending.callback(process.wait)
            ending.callback(process.kill)
            return process

        assert start("init").wait(60) == 0, logs["init"].read_text()
        names = sorted(name for name, service in services.items() if service["image"] == OURS)
        running = {name: start(name) for name in names if name != "init"}
        for name in running:
            eventually(lambda: "metrics on" in logs[name].read_text(), 60, name)  # noqa: B023
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        ended = {name: process.wait(20) for name, process in running.items()}
    said = {name: logs[name].read_text() for name, status in ended.items() if status}
    assert not said, "\n".join(said.values())
