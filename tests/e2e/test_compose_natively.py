"""The services of `docker-compose.yml`, started on this machine by their own commands and with
their own environment, tell who is in a film of the demo."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import psycopg
import pytest
from pydantic import SecretStr

from ops.demo.demo_persons import DEMO_PERSONS, cut_out, enrolment_photo
from ops.demo.film import Scene, appearances, render, write_film
from ops.demo.installation import read_progress
from ops.demo.results import read_output
from ops.demo.scenario import scenes
from ops.demo.truth import FilmPerson, GroundTruth, compare
from sightline.runtime.connection_urls import StackState, database_url, kafka_servers
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from tests.metrics_support import is_ready
from tests.stack.test_compose import compose, ours
from tests.support import (
    FEW_TRANSACTIONS,
    ROOT,
    Running,
    environment,
    eventually,
    run_sightline,
    sightline_command,
    start,
)

pytestmark = [pytest.mark.e2e, pytest.mark.stack]

SECONDS = 11.0
"""The first two people of the first film have come and gone."""

DATABASE = "composed"
LISTENS = re.compile(r"on http://127\.0\.0\.1:(\d+)")


class Composed:
    """The compose file's services of one installation, here."""

    def __init__(self, servers: Settings, folder: Path, ending: ExitStack) -> None:
        ports = StackState.load(servers.home)
        assert ports is not None
        self.home = folder
        self.password = ports.postgres_password
        self.keys = base64.b64encode(os.urandom(32)).decode()
        self._ending = ending
        self._places = {
            "kafka:9092": kafka_servers(servers),
            "@postgres:5432/sightline": f"@127.0.0.1:{ports.postgres}/{DATABASE}",
            "p@ss/word": self.password,
            "a key": self.keys,
            "0.0.0.0": "127.0.0.1",
            "9100": "0",  # here they share one host
            "8080": "0",
            "/data": str(folder),
        }

    def environment(self, service: str) -> dict[str, str]:
        """A service's environment with the hosts, ports and folders of this machine."""
        env = {}
        for name, value in compose()[service]["environment"].items():
            here = str(value)
            for there, place in self._places.items():
                here = here.replace(there, place)
            env[name] = here
        # The pack that is on every machine: this is no test of fetching models.
        return environment(self.home, **env | {"SIGHTLINE_PACK": "dlib"} | FEW_TRANSACTIONS)

    def run(self, *command: str) -> None:
        """`docker compose run --rm init COMMAND`."""
        run_sightline(self.home, *command, env=self.environment("init"))

    def start(self, service: str) -> Running:
        command = sightline_command(*compose()[service]["command"])
        process = start(command, self.log(service), env=self.environment(service))
        self._ending.callback(process.wait, 60)
        self._ending.callback(process.kill)
        return process

    def log(self, service: str) -> Path:
        return self.home / f"{service}.log"

    def port(self, service: str) -> str:
        """Where it answers, or "" as long as it has not said so."""
        found = LISTENS.search(self.log(service).read_text())
        return found[1] if found else ""


@pytest.fixture
def composed(home: Path) -> Iterator[Composed]:
    """Real servers in place of the images of Kafka and PostgreSQL, and an empty database."""
    run_sightline(home, "up", seconds=300)
    servers = Settings(home=home)
    with psycopg.connect(database_url(servers), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
    with ExitStack() as ending:
        folder = home / "data"
        folder.mkdir()
        yield Composed(servers, folder, ending)


def is_healthy(port: str) -> bool:
    """What the image's HEALTHCHECK says."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    command: list[str] = json.loads(re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.M)[0])
    ours = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as in the image
    env = os.environ | {"SIGHTLINE_METRICS_PORT": port, "PATH": ours}
    return subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0


def played(folder: Path) -> tuple[Scene, GroundTruth, Path]:
    """The beginning of the demo's first film, and who is in it."""
    whole = scenes()[0]
    walks = tuple(one for one in whole.walks if one.starts + one.seconds < SECONDS)
    scene = Scene(whole.camera, whole.room, SECONDS, walks)
    cast = [member for member in DEMO_PERSONS if member.name in {walk.name for walk in walks}]
    assert len(cast) == 2 and all(member.enrolled for member in cast)
    cuts = {member.name: cut_out(member) for member in cast}
    film = folder / "film.mp4"
    write_film(film, render(scene, cuts))
    for member in cast:
        assert cv2.imwrite(str(folder / f"{member.name}.jpg"), enrolment_photo(member))
    people = tuple(FilmPerson(member.name, member.enrolled) for member in cast)
    return scene, GroundTruth(people, tuple(appearances(scene, cuts))), film


def test_its_services_find_who_is_in_the_film(composed: Composed, tmp_path: Path) -> None:
    scene, truth, film = played(tmp_path)
    names = sorted(name for name, one in ours().items() if "profiles" not in one)
    names.remove("init")
    composed.run(*compose()["init"]["command"])
    for person in truth.persons:
        composed.run("enrol", person.name, str(tmp_path / f"{person.name}.jpg"))
    running = {name: composed.start(name) for name in names}
    ports = {
        name: eventually(lambda: composed.port(name), what=name)  # noqa: B023
        for name in names
    }
    for name, port in ports.items():
        eventually(lambda: is_ready(f"127.0.0.1:{port}"), what=f"{name} is ready")  # noqa: B023
    assert all(is_healthy(port) for port in list(ports.values())[:2])
    assert not is_healthy("9"), "where nothing listens"
    composed.run("camera", "add", scene.camera, str(film))
    assert seen(composed, truth).passed
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    ended = {name: process.wait(120) for name, process in running.items()}
    said = {name: composed.log(name).read_text() for name, status in ended.items() if status}
    assert not said, "\n".join(said.values())


def seen(composed: Composed, truth: GroundTruth) -> Any:
    """The demo's verdict when the film is through and nothing changes any more."""
    env = composed.environment("init")
    settings = Settings(
        home=composed.home,
        kafka_bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"],
        database_url=SecretStr(env["DATABASE_URL"]),
        database_password=SecretStr(composed.password),
        encryption={"keys": composed.keys},
    )
    with connect(settings, autocommit=True) as db:
        eventually(
            lambda: read_progress(db).is_complete(1) and read_progress(db).events, what="the film"
        )

        def passed() -> Any:
            verdict = compare(truth, read_output(settings, db).tracks)
            return verdict if verdict.passed else None

        return eventually(passed, what="both are found")
