"""What a service says of itself: whether its loops go on, what it waits for, where it answers."""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest
from confluent_kafka import KafkaException
from prometheus_client import CollectorRegistry, Counter

from sightline.runtime import admin_http, heartbeat, service_discovery
from sightline.runtime.clock import SystemClock
from sightline.runtime.health import DATABASE, KAFKA, Health
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming.broker_probe import BrokerProbe
from tests.support import eventually, program, says


class Time(SystemClock):
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def health(time: Time) -> Health:
    return Health(stuck_seconds=60, start_seconds=300, clock=time)


def test_a_loop_that_does_not_come_round_is_stuck_and_recovers(time: Time, health: Health) -> None:
    health.beat()
    time.now += 60
    assert health.stuck_loops() == []
    time.now += 0.1
    assert health.stuck_loops() == ["main"]
    assert health.beat_ages()["main"] == pytest.approx(60.1)
    health.beat()
    assert health.stuck_loops() == []


def test_models_may_be_loaded_for_longer_than_a_loop_may_stand(time: Time, health: Health) -> None:
    time.now += 299
    assert health.stuck_loops() == []
    time.now += 2
    assert health.stuck_loops() == ["main"]
    health.beat()
    time.now += 61
    assert health.stuck_loops() == ["main"]


def test_one_camera_that_hangs_is_told_by_name_and_forgotten_when_it_ends(
    time: Time, health: Health
) -> None:
    lobby = Stop(1.0, health, "camera lobby")
    lobby.beat()
    time.now += 61
    Stop(1.0, health).beat()
    assert health.stuck_loops() == ["camera lobby"]
    health.end_loop("camera lobby")
    assert health.stuck_loops() == []


def test_a_service_serves_once_it_has_begun_and_waits_for_nothing(health: Health) -> None:
    assert health.unavailable() == ["start"]
    health.mark_unavailable(DATABASE)
    health.mark_ready()
    assert health.unavailable() == ["database"]
    health.mark_available(DATABASE)
    assert health.unavailable() == []


@pytest.mark.slow
def test_a_long_pause_is_no_standstill(time: Time, health: Health) -> None:
    stop = Stop(1.0, health)
    resting = threading.Thread(target=stop.wait_idle, args=(30.0,))
    resting.start()
    time.now += 1_000
    eventually(lambda: not health.stuck_loops())
    stop.request()
    resting.join(5)
    assert not resting.is_alive()


class Broker:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_away = False

    def list_topics(self, topic: str, timeout: float) -> object:
        self.asked += 1
        if self.is_away:
            raise KafkaException("away")
        return topic


def test_kafka_is_asked_for_only_where_nothing_comes(time: Time, health: Health) -> None:
    health.mark_ready()
    broker = Broker()
    reached = BrokerProbe(broker, "faces", health, time)
    for _ in range(100):
        time.now += 1
        reached.note_records(1)
    assert broker.asked == 0
    time.now += 4.9
    reached.note_records(0)
    assert broker.asked == 0
    broker.is_away = True
    time.now += 0.2
    reached.note_records(0)
    assert health.unavailable() == [KAFKA]
    broker.is_away = False
    reached.note_records(0)
    assert broker.asked == 1
    time.now += 5
    reached.note_records(0)
    assert health.unavailable() == []
    broker.is_away = True
    time.now += 5
    reached.note_records(0)
    reached.note_records(3)
    assert health.unavailable() == []


@pytest.fixture
def url(health: Health) -> Iterator[str]:
    server = admin_http.serve("127.0.0.1", 0, health)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


request = partial(httpx2.request, verify=False)
"""Without the certificates of all authorities, which take 50 ms to load at each request."""


def test_the_endpoint_says_so(url: str, health: Health, time: Time) -> None:
    alive, ready = request("GET", f"{url}/healthz"), request("GET", f"{url}/readyz")
    assert (alive.status_code, alive.json()["status"]) == (200, "ok")
    assert (ready.status_code, ready.json()["waits_for"]) == (503, ["start"])
    health.mark_ready()
    assert request("GET", f"{url}/readyz").json() == {"status": "ready"}
    time.now += 400
    alive = request("GET", f"{url}/healthz")
    assert (alive.status_code, alive.json()["stuck"]) == (503, ["main"])
    assert alive.json()["age_seconds"] == 400.0
    assert "sightline_" in request("GET", f"{url}/metrics").text
    assert request("GET", f"{url}/elsewhere").status_code == 404
    assert request("POST", f"{url}/log-level", content="DEBUG").status_code == 404


def test_the_level_is_changed_from_this_machine_alone(url: str, health: Health) -> None:
    before = logging.getLogger().level
    try:
        assert request("PUT", f"{url}/log-level", content="warning").json()["level"] == "WARNING"
        assert logging.getLogger().level == logging.WARNING
        for wrong in ("", "LOUD", "INFO\n" * 1_000, "é"):
            assert request("PUT", f"{url}/log-level", content=wrong).status_code == 400
        said: list[str] = []
        elsewhere = {
            "REQUEST_METHOD": "PUT", "PATH_INFO": "/log-level", "REMOTE_ADDR": "192.0.2.9",
        }  # fmt: skip
        admin_http.AdminApplication(health)(elsewhere, lambda status, _headers: said.append(status))
        assert said == ["403 Forbidden"]
        assert logging.getLogger().level == logging.WARNING
    finally:
        logging.getLogger().setLevel(before)


PROCESS = """
import os, signal, sys
from pathlib import Path
from sightline.runtime import service_discovery
from sightline.runtime.settings import Settings
settings = Settings(home=Path(sys.argv[1]), instance="east-2", fleet="yard")
service_discovery.announce("vision", "127.0.0.1", 9101, settings)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print("said", flush=True)
signal.pause()
"""


@pytest.mark.slow
def test_a_process_is_a_target_of_prometheus_while_it_lives(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    for is_killed in (False, True):
        log = tmp_path / f"killed-{is_killed}.log"
        with program(command, log) as process:
            says(process, log, "^said$")
            [found] = service_discovery.targets(tmp_path)
            assert (found.service, found.instance, found.fleet) == ("vision", "east-2", "yard")
            assert found.address == found.local_address == "127.0.0.1:9101"
            assert found.is_local
            [path] = service_discovery.folder(tmp_path).iterdir()
            assert path.name == f"vision-east-2-{process.pid}.json"
            assert json.loads(path.read_text()) == [{
                "targets": ["127.0.0.1:9101"],
                "labels": {
                    "service": "vision", "instance_name": "east-2", "fleet": "yard", "run": "live",
                },
            }]  # fmt: skip
            if is_killed:
                process.kill()
            else:
                process.terminate()
            process.wait(120)
        assert service_discovery.targets(tmp_path) == []
        assert path.exists() == is_killed
    service_discovery.announce("match", "0.0.0.0", 9102, Settings(home=tmp_path))
    [mine] = service_discovery.folder(tmp_path).iterdir()
    assert str(os.getpid()) in mine.name
    [found] = service_discovery.targets(tmp_path)
    assert (found.local_address, found.is_local) == ("127.0.0.1:9102", True)


def test_a_line_sums_up_what_was_counted(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    frames = Counter("sightline_frames_seen", "Frames", ["camera"], registry=registry)
    Counter("sightline_idle", "Nothing", registry=registry)
    Counter("other", "Not ours", registry=registry).inc()
    frames.labels("a").inc(2)
    before = heartbeat.totals(registry)
    frames.labels("a").inc(3)
    frames.labels("b").inc(4)
    assert heartbeat.diff_totals(before, heartbeat.totals(registry)) == {"frames_seen": 7}
    stop = Stop(1.0, health)
    with caplog.at_level(logging.INFO, "sightline.runtime.heartbeat"):
        heartbeat.start_heartbeat("vision", 0.05, health, stop.wait)
        eventually(lambda: caplog.records)
        stop.request()
    assert "waits for start" in caplog.records[0].getMessage()
    assert hasattr(caplog.records[0], "counters")
