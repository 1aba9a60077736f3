"""Dead letters on the real broker and database: read back, tried once more, counted once."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS, SIGHTINGS, TRACKS
from sightline import deadletters
from sightline.deadletters import LetterId
from sightline.kafka.config import producer_config
from sightline.kafka.producer import SureProducer
from sightline.kafka.records import Out
from sightline.kafka.sink import Sink, SinkLoop
from sightline.lifecycle import Stop
from sightline.settings import Settings, SinkSettings
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.visitor_log import VisitorLog
from tests.stack.sinks_support import FACE, T0, World, new_world
from tests.support import eventually, read_topic, run_sightline, sightline_json

pytestmark = pytest.mark.stack

BOX = (10.0, 10.0, 50.0, 90.0)


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as found:
        yield found


@contextmanager
def running(*loops: SinkLoop) -> Iterator[None]:
    """Sinks at work; what ends one of them fails the test."""
    stop = Stop(10)
    ends: list[BaseException] = []

    def work(loop: SinkLoop) -> None:
        try:
            loop.run(stop)
        except BaseException as error:  # noqa: BLE001 - told to the test
            ends.append(error)

    threads = [threading.Thread(target=work, args=(loop,)) for loop in loops]
    with ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join, 20)
        stack.callback(stop.request)
        yield
    assert not ends
    assert not any(thread.is_alive() for thread in threads)


def send(stack: Settings, *outs: Out) -> None:
    producer = SureProducer(producer_config(stack, "test"))
    producer.send_all(outs)
    producer.flush(10)


def record(topic: str, key: str, message: Message) -> Out:
    return Out(topic, key, message.SerializeToString(), T0 // 1000)


def letters(stack: Settings, key: str, *more: str) -> dict[str, dict[str, Any]]:
    """The letters about records of a key, by service."""
    found = sightline_json(stack, "dlq", "list", "--limit", "10000", *more)
    return {row["service"]: row for row in found if row["key"] == key}


def test_a_replayed_letter_is_taken_by_its_service_alone_and_once(
    stack: Settings, world: World
) -> None:
    """A frame of a camera that nobody has added yet; then somebody adds it."""
    camera = f"late-{world.id}"
    sinks: list[Sink] = [VisitorLog(stack), PersonState(fast(stack))]
    with running(*(SinkLoop(sink, stack) for sink in sinks)):
        send(stack, record(TRACKS.name, camera, world.frame(0, [(0, BOX)], camera=camera)))
        found = wait_for_letters(stack, camera, "visitor-log", "person-state")
        letter = found["visitor-log"]
        assert letter["reason"] == "unknown_camera"
        assert world.add_camera("late") == camera

        replayed = sightline_json(stack, "dlq", "replay", letter["id"])
        assert replayed == {"replayed": [letter["id"]]}
        frames = "SELECT frames_seen FROM motion_events WHERE camera_id = %s"
        assert eventually(lambda: world.rows(frames, camera)) == [{"frames_seen": 1}]
        assert not world.rows("SELECT FROM person_tracks WHERE camera_id = %s", camera)
        assert set(letters(stack, camera)) == {"person-state"}
        assert letters(stack, camera, "--decided")["visitor-log"]["fate"] == "replayed"

        twice = run_sightline(stack.home, "dlq", "replay", letter["id"], check=False)
        assert twice.stderr.strip() == f"sightline: letter {letter['id']} was replayed before"

        # As after a crash between the delivery and the fate: it is in the topic a second time.
        message = deadletters.find(stack, LetterId.parse(letter["id"])).message
        send(stack, deadletters.again(message))
        send(stack, record(TRACKS.name, camera, world.frame(1, camera=camera)))
        eventually(lambda: world.one(frames, camera)["frames_seen"] > 1)
        assert world.one(frames, camera) == {"frames_seen": 2}

        chosen = ["--service", "person-state", "--reason", "unknown_camera"]
        assert (
            found["person-state"]["id"]
            in sightline_json(stack, "dlq", "replay", *chosen)["replayed"]
        )
        tracks = "SELECT detections FROM person_tracks WHERE camera_id = %s"
        assert eventually(lambda: world.rows(tracks, camera)) == [{"detections": 1}]
    assert letters(stack, camera) == {}


def test_a_letter_that_fails_again_is_a_letter_again(stack: Settings, world: World) -> None:
    camera = f"never-{world.id}"
    with running(SinkLoop(AccessLog(stack), stack)):
        sighting = world.sighting(stranger="s", camera=camera)
        send(stack, record(SIGHTINGS.name, camera, sighting))
        first = wait_for_letters(stack, camera, "access-log")["access-log"]
        run_sightline(stack.home, "dlq", "replay", first["id"])
        second = wait_for_letters(stack, camera, "access-log")["access-log"]
        assert second["id"] != first["id"]
        world.add_camera("never")
        run_sightline(stack.home, "dlq", "replay", second["id"])
        rows = "SELECT FROM access_logs WHERE camera_id = %s"
        eventually(lambda: world.rows(rows, camera))


def test_show_has_record_origin_reason_and_stack_and_no_face(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    camera = f"shown-{world.id}"
    sighting = world.sighting(stranger="s", camera=camera)
    with running(SinkLoop(AccessLog(stack), stack)):
        send(stack, record(SIGHTINGS.name, camera, sighting))
        letter = wait_for_letters(stack, camera, "access-log")["access-log"]
    raw = tmp_path / "record"
    told = sightline_json(stack, "dlq", "show", letter["id"], "--raw", str(raw))
    assert raw.read_bytes() == sighting.SerializeToString()
    assert told["record"]["sighting_id"] == sighting.sighting_id
    assert told["record"]["status"] == "CONFIRMED"
    assert told["record"]["template"] == f"({len(FACE)} bytes)"
    assert told["source"].startswith("sightings/")
    assert told["detail"] == f"there is no camera {camera}"
    assert "sinks/decisions.py" in told["stack"]
    printed = run_sightline(stack.home, "dlq", "show", letter["id"]).stdout
    assert sighting.sighting_id in printed
    assert "unknown_camera" in printed
    run_sightline(stack.home, "dlq", "drop", letter["id"])
    assert letters(stack, camera) == {}


def test_what_is_no_letter_is_listed_and_can_only_be_dropped(stack: Settings) -> None:
    of_a_run = pb.DeadLetter(
        source=pb.Position(topic="tracks.run-a", partition=0, offset=3),
        value=b"\xff",
        service="visitor-log",
        reason=f"of-{uuid4().hex[:8]}",
        failed_at_us=2**62,
        run="a",
    )
    send(
        stack,
        Out(DEAD_LETTERS.name, "x", b"\xff no letter", T0 // 1000),
        Out(DEAD_LETTERS.name, "x", of_a_run.SerializeToString(), T0 // 1000),
    )
    last = max(one.offset for one in read_topic(stack, DEAD_LETTERS.name))
    listed = {row["id"]: row for row in sightline_json(stack, "dlq", "list", "--limit", "10000")}
    assert listed[f"0@{last - 1}"]["reason"] == "no_letter"
    assert listed[f"0@{last}"]["run"] == "a"
    for rank, why in [(last - 1, "cannot be read"), (last, "is of the run a"), (10**6, "no dead")]:
        refused = run_sightline(stack.home, "dlq", "replay", f"0@{rank}", check=False)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert json.loads(
        run_sightline(stack.home, "dlq", "drop", f"0@{last - 1}", f"0@{last}", "--json").stdout
    ) == {"dropped": [f"0@{last - 1}", f"0@{last}"]}


def wait_for_letters(stack: Settings, key: str, *services: str) -> dict[str, dict[str, Any]]:
    eventually(lambda: set(services) <= set(letters(stack, key)))
    return letters(stack, key)


def fast(stack: Settings) -> Settings:
    """Person state every few moments instead of every five seconds."""
    return stack.model_copy(update={"sinks": SinkSettings(person_state_seconds=0.3)})
