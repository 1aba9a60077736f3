"""`docker-compose.yml`, read by a real parser, and the image: what runs, as whom, what is open."""

import os
import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import pytest
import yaml

from schemas.topics import MAX_RECORD_BYTES
from tests.support import ROOT

OURS = "sightline:local"
GIVEN = {"POSTGRES_PASSWORD": "p@ss/word", "ENCRYPTION_KEYS": "a key"}
PROFILES = {
    "gpu": {"vision-gpu"},
    "monitoring": {"prometheus", "grafana"},
    "three-brokers": {"kafka-2", "kafka-3"},
}


def parse(*options: str, **env: str) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("no docker-compose here: see deploy/install-test-tools")
    return subprocess.run(
        [program, "-f", "docker-compose.yml", *options, "config"],
        cwd=ROOT, env={"PATH": os.environ["PATH"]} | env,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@cache
def compose(*options: str) -> dict[str, Any]:
    """Every service of every profile."""
    result = parse(*options, **GIVEN)
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = yaml.safe_load(result.stdout)["services"]
    return services


def ours() -> dict[str, Any]:
    return {name: one for name, one in compose().items() if one["image"].startswith(OURS)}


@pytest.mark.parametrize("left_out", sorted(GIVEN))
def test_there_is_no_default_secret(left_out: str) -> None:
    result = parse(**{name: value for name, value in GIVEN.items() if name != left_out})
    assert result.returncode != 0
    assert left_out in result.stderr


def test_the_core_is_what_has_no_profile_and_workers_scale() -> None:
    services = compose()
    names = {point.name for point in entry_points(group="sightline.services")}
    core = {name for name, one in services.items() if "profiles" not in one}
    assert core == names | {"init", "kafka", "postgres"}
    commands = {name: one["command"] for name, one in ours().items()}
    assert commands == {"init": ["up"], "vision-gpu": ["run", "vision"]} | {
        name: ["run", name] for name in names
    }
    assert not any("container_name" in one for one in services.values())
    assert {
        profile: {name for name, one in services.items() if profile in one.get("profiles", ())}
        for profile in PROFILES
    } == PROFILES


def test_our_containers_may_do_nothing_but_work() -> None:
    for name, one in ours().items():
        assert one["read_only"] and one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["environment"]["SIGHTLINE_ENCRYPTION__REQUIRED"] == "true", name
        assert "privileged" not in one and "user" not in one, "the image's own user"
    gpu = compose()["vision-gpu"]
    assert gpu["environment"]["SIGHTLINE_PROVIDER"] == "cuda"
    [device] = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_what_is_published_is_on_loopback_and_kafka_takes_our_records() -> None:
    services = compose()
    published = [str(port) for one in services.values() for port in one.get("ports", ())]
    assert len(published) == 7
    assert all(port.startswith("127.0.0.1:") for port in published)
    brokers = [services[name] for name in ("kafka", "kafka-2", "kafka-3")]
    assert {one["environment"]["KAFKA_MESSAGE_MAX_BYTES"] for one in brokers} == {MAX_RECORD_BYTES}


def test_three_brokers_know_each_other() -> None:
    alone = compose()["kafka"]["environment"]
    assert alone["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@kafka:9093"
    services = compose("--env-file", "deploy/three-brokers.env")
    names = ("kafka", "kafka-2", "kafka-3")
    given = [services[name]["environment"] for name in names]
    assert [one["KAFKA_NODE_ID"] for one in given] == [1, 2, 3]
    voters = ",".join(f"{number}@{name}:9093" for number, name in enumerate(names, start=1))
    assert {one["KAFKA_CONTROLLER_QUORUM_VOTERS"] for one in given} == {voters}
    for name, one in zip(names, given, strict=True):
        assert f"INSIDE://{name}:9092" in one["KAFKA_ADVERTISED_LISTENERS"]
        assert one["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] in (3, "3")
    servers = {f"{name}:9092" for name in names}
    assert set(services["vision"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"].split(",")) == servers


def test_what_is_mounted_is_there() -> None:
    for one in compose().values():
        for volume in one.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("/"):
                assert os.path.exists(source), source  # noqa: PTH110 - as the file has it


def test_the_image_has_everything_runs_as_nobody_special_and_says_how_it_is() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 1000:1000$", last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*healthz", last, re.MULTILINE)
    packages = yaml.safe_load(
        re.findall(r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    )
    copied = set(re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE))
    assert set(packages) <= copied
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for variant in ("cpu", "gpu"):
        assert f"requirements/{variant}.txt" in kept
    assert set(packages) <= kept
