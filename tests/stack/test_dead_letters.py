"""Dead letters on the real broker and database: read back, tried once more, counted once."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.message import Message

from ops.dead_letters import operations
from ops.dead_letters.operations import DeadLetterEntry, DeadLetterFilter
from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS, SIGHTINGS, TRACKS
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.settings import SinkSettings
from sinks.visitor_log import VisitorLog
from tests.stack.commands_support import sightline_json
from tests.stack.sinks_support import FACE, T0, World, at_work, new_world, skip_what_is_there
from tests.support import eventually

pytestmark = pytest.mark.stack

BOX = (10.0, 10.0, 50.0, 90.0)


@pytest.fixture(scope="module", autouse=True)
def _sinks(stack: Settings) -> Iterator[None]:
    """Sinks at work; what ends one of them is an error."""
    skip_what_is_there(stack)
    fast = stack.model_copy(update={"sinks": SinkSettings(person_state_seconds=0.3)})
    with at_work(fast, [VisitorLog(fast), PersonState(fast), AccessLog(fast)]):
        yield


@pytest.fixture
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as found:
        yield found


def send(stack: Settings, *outs: OutputRecord) -> None:
    producer = CheckedProducer(producer_config(stack, "test"))
    producer.send_all(outs)
    producer.flush(60)


def record(topic: str, key: str, message: Message) -> OutputRecord:
    return OutputRecord(topic, key, message.SerializeToString(), T0 // 1000)


def open_letters(stack: Settings, key: str) -> dict[str, DeadLetterEntry]:
    """The letters about records of a key that nobody has decided on, by service."""
    return {
        one.message.service: one
        for one in operations.read_dead_letters(stack, DeadLetterFilter())
        if one.message.key.decode() == key and one.fate is None
    }


def wait_for_letters(stack: Settings, key: str, *services: str) -> dict[str, DeadLetterEntry]:
    eventually(lambda: set(services) <= set(open_letters(stack, key)))
    return open_letters(stack, key)


def replay(stack: Settings, letter: DeadLetterEntry) -> None:
    choice = DeadLetterFilter(frozenset([letter.id]))
    assert list(operations.replay_dead_letters(stack, choice, "test")) == [letter.id]


def test_a_replayed_letter_is_taken_by_its_service_alone_and_once(
    stack: Settings, world: World
) -> None:
    """A frame of a camera that nobody has added yet; then somebody adds it."""
    camera = f"late-{world.id}"
    send(stack, record(TRACKS.name, camera, world.frame(0, [(0, BOX)], camera=camera)))
    found = wait_for_letters(stack, camera, "visitor-log", "person-state")
    letter = found["visitor-log"]
    assert letter.message.reason == "unknown_camera"
    assert world.add_camera("late") == camera

    replay(stack, letter)
    frames = "SELECT frames_seen FROM motion_events WHERE camera_id = %s"
    eventually(lambda: world.rows(frames, camera))
    assert world.one(frames, camera) == {"frames_seen": 1}
    assert not world.rows("SELECT FROM person_tracks WHERE camera_id = %s", camera)
    assert set(open_letters(stack, camera)) == {"person-state"}
    with pytest.raises(ConflictError, match="was replayed before"):
        replay(stack, letter)

    # As after a crash between the delivery and the fate: it is in the topic a second time.
    send(stack, operations.replay_record(letter.message))
    send(stack, record(TRACKS.name, camera, world.frame(1, camera=camera)))
    eventually(lambda: world.one(frames, camera)["frames_seen"] > 1)
    assert world.one(frames, camera) == {"frames_seen": 2}

    by_reason = DeadLetterFilter(service="person-state", reason="unknown_camera")
    assert found["person-state"].id in list(
        operations.replay_dead_letters(stack, by_reason, "test")
    )
    tracks = "SELECT detections FROM person_tracks WHERE camera_id = %s"
    eventually(lambda: world.rows(tracks, camera))
    assert world.one(tracks, camera) == {"detections": 1}


def test_a_letter_that_fails_again_is_a_letter_again(stack: Settings, world: World) -> None:
    camera = f"never-{world.id}"
    send(stack, record(SIGHTINGS.name, camera, world.sighting(stranger="s", camera=camera)))
    first = wait_for_letters(stack, camera, "access-log")["access-log"]
    replay(stack, first)
    second = wait_for_letters(stack, camera, "access-log")["access-log"]
    assert second.id != first.id
    world.add_camera("never")
    replay(stack, second)
    eventually(lambda: world.rows("SELECT FROM access_logs WHERE camera_id = %s", camera))


def test_the_commands_show_record_origin_reason_and_stack_and_no_face(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    camera = f"shown-{world.id}"
    sighting = world.sighting(stranger="s", camera=camera)
    send(stack, record(SIGHTINGS.name, camera, sighting))
    letter = str(wait_for_letters(stack, camera, "access-log")["access-log"].id)
    listed = sightline_json(stack, "dlq", "list", "--service", "access-log")
    assert listed[0]["id"] == letter
    raw = tmp_path / "record"
    told = sightline_json(stack, "dlq", "show", letter, "--raw", str(raw))
    assert raw.read_bytes() == sighting.SerializeToString()
    assert told["record"]["sighting_id"] == sighting.sighting_id
    assert told["record"]["status"] == "CONFIRMED"
    assert told["record"]["template"] == f"({len(FACE)} bytes)"
    assert told["source"].startswith("sightings/")
    assert told["detail"] == f"there is no camera {camera}"
    assert "sinks/sighting_rules.py" in told["stack"]
    assert sightline_json(stack, "dlq", "drop", letter) == {"dropped": [letter]}


def test_what_is_no_letter_can_only_be_dropped(stack: Settings) -> None:
    reason = f"of-{uuid4().hex[:8]}"
    of_a_run = pb.DeadLetter(
        source=pb.Position(topic="tracks.run-a", partition=0, offset=3),
        value=b"\xff",
        service="visitor-log",
        reason=reason,
        failed_at_us=2**62,
        run="a",
    )
    send(stack, OutputRecord(DEAD_LETTERS.name, "x", b"\xff no letter", T0 // 1000))
    send(stack, OutputRecord(DEAD_LETTERS.name, "x", of_a_run.SerializeToString(), T0 // 1000))
    unread = list(operations.read_dead_letters(stack, DeadLetterFilter(reason="no_letter")))[-1]
    (of_run,) = operations.read_dead_letters(stack, DeadLetterFilter(reason=reason))
    with pytest.raises(ConflictError, match="cannot be read"):
        replay(stack, unread)
    with pytest.raises(ConflictError, match="is of the run a"):
        replay(stack, of_run)
    with pytest.raises(NotFoundError):
        operations.find_dead_letter(stack, operations.DeadLetterId(0, 10**6))
    ids = frozenset([unread.id, of_run.id])
    assert set(operations.drop_dead_letters(stack, DeadLetterFilter(ids), "test")) == ids
