"""All sinks at work on the real broker, two workers each: rows for what is good, letters else."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.topics import MOTION_EVENTS, SIGHTINGS, SNAPSHOTS, TRACKS
from sightline.runtime.clock import SystemClock
from sightline.runtime.settings import Settings
from sightline.storage.objects import open_store
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sinks.access_log import AccessLog
from sinks.person_state import PersonState
from sinks.runtime.postgres import PostgresSink
from sinks.settings import SinkSettings
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog
from tests.stack.sinks_support import World, at_work, new_world, skip_what_is_there
from tests.support import dead_letters, eventually

pytestmark = pytest.mark.stack

SINKS: dict[str, Callable[[Settings], PostgresSink]] = {
    "access-log": AccessLog,
    "visitor-log": VisitorLog,
    "snapshots": lambda settings: Snapshots(settings, open_store(settings)),
    "person-state": PersonState,
}
TOPICS = {
    pb.Sighting: SIGHTINGS,
    pb.MotionEvent: MOTION_EVENTS,
    pb.FrameTracks: TRACKS,
    pb.Snapshot: SNAPSHOTS,
}
BOX = (10.0, 10.0, 50.0, 90.0)


def running(settings: Settings, workers: int) -> AbstractContextManager[None]:
    """Workers of every sink."""
    sinks = [make(settings) for make in SINKS.values() for _ in range(workers)]
    return at_work(settings, sinks)


def letters(stack: Settings, keys: set[str]) -> set[tuple[str, str, str]]:
    """Service, key and reason of what was given up on."""
    found = dead_letters(stack)
    return {
        (letter.service, letter.key.decode(), letter.reason)
        for letter in found
        if letter.key.decode() in keys and letter.source.topic == SIGHTINGS.name
    }


def test_what_is_good_becomes_rows_and_what_is_bad_a_letter_of_every_sink(
    stack: Settings,
) -> None:
    settings = stack.model_copy(update={"sinks": SinkSettings(person_state_seconds=0.5)})
    skip_what_is_there(stack)
    with new_world(stack) as world:
        ann = world.add_employee("Ann")
        good: list[tuple[str, Message]] = [
            (world.camera, world.motion(pb.MotionEvent.STARTED, 0)),
            *((world.camera, world.frame(s / 10, [(0, BOX), (2, BOX)])) for s in range(20, 60)),
            (world.camera, world.frame(6, last=True)),
            (world.track(0), world.shot(start=0)),
            (world.track(2), world.shot(start=2)),
            (world.site, world.sighting(employee=ann, decided=4)),
            (world.site, world.sighting(stranger="x", start=2, decided=5)),
            (world.camera, world.motion(pb.MotionEvent.ENDED, 0, 6.1)),
        ]
        bad = bad_sightings(world)
        producer = CheckedProducer(producer_config(stack, "test"))
        now_ms = SystemClock().now_us() // 1000
        for key, message in good:
            value = message.SerializeToString()
            producer.send(OutputRecord(TOPICS[type(message)].name, key, value, now_ms))
        for key, (value, _reason) in bad.items():
            producer.send(OutputRecord(SIGHTINGS.name, key, value, now_ms))
        producer.flush(60)
        wanted = {
            (service, key, reason) for service in SINKS for key, (_value, reason) in bad.items()
        }
        with running(settings, workers=2):
            eventually(lambda: counts(world) == (2, 2, 2, 2, 1), what="rows of every table")
            eventually(lambda: letters(stack, set(bad)) == wanted, what="letters of every sink")
        assert counts(world) == (2, 2, 2, 2, 1)
        detections = world.rows(
            "SELECT total_detections FROM detected_persons JOIN access_logs USING (global_id)"
            " WHERE site_id = %s",
            world.site,
        )
        assert [row["total_detections"] for row in detections] == [40, 40]
        store = open_store(stack)
        for row in world.rows("SELECT * FROM access_logs WHERE site_id = %s", world.site):
            assert store.get(row["snapshot_path"]).startswith(b"picture")


def bad_sightings(world: World) -> dict[str, tuple[bytes, str]]:
    """Key -> a sighting that is none, and the reason."""
    nowhere = world.sighting(stranger="x", camera=f"nowhere-{world.id}")
    endless = world.sighting(stranger="x", start=3, name="x" * 10_000)
    return {
        f"{world.site}-nowhere": (nowhere.SerializeToString(), "unknown_camera"),
        f"{world.site}-endless": (endless.SerializeToString(), "bad_name"),
        f"{world.site}-garbage": (b"\xff no protobuf", "not_protobuf"),
    }


def counts(world: World) -> tuple[int, ...]:
    """Access rows, those with a snapshot, visits, people, processed events."""
    row = world.db.execute(
        "SELECT (SELECT count(*) FROM access_logs WHERE site_id = %(site)s),"
        " (SELECT count(snapshot_path) FROM access_logs WHERE site_id = %(site)s),"
        " (SELECT count(*) FROM visitor_logs WHERE camera_name = %(camera)s),"
        " (SELECT count(*) FROM detected_persons WHERE cameras_visited ? %(camera)s"
        "  AND total_detections = 40),"
        " (SELECT count(*) FROM motion_events WHERE camera_id = %(camera)s AND processed)",
        {"site": world.site, "camera": world.camera},
    ).fetchone()
    assert row
    return tuple(row)
