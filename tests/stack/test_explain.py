"""`sightline explain` on the real stack: ids lead to the frame, and to what touched the row."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import numpy as np
import pytest
from confluent_kafka import Producer

from ops.explain.explanation import explain
from ops.runs.promote import promote, roll_back
from schemas import sightline_pb2 as pb
from schemas.ids import observation_id, visitor_log_id
from schemas.topics import CROPS, FACES, LIVE, SIGHTINGS, frames
from sightline.people.corrections import name_person
from sightline.runtime.errors import NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import producer_config
from tests.stack.commands_support import run
from tests.stack.runs_support import Pass, begin_run, forget_run, window
from tests.stack.sinks_support import FACE, World, at, new_world
from tests.support import run_sightline

pytestmark = pytest.mark.stack

BOX = (45, 12, 55, 24)


@pytest.fixture(scope="module")
def world(stack: Settings) -> Iterator[World]:
    with new_world(stack) as world:
        yield world


def send(stack: Settings, topic: str, key: str, value: bytes, at_us: int) -> int:
    """Publish a record; its offset in partition 0."""
    offsets: list[int] = []
    producer = Producer(producer_config(stack, "explain-test"))
    producer.produce(
        topic, value, key, partition=0, timestamp=at_us // 1000,
        on_delivery=lambda _error, message: offsets.append(message.offset() or 0),
    )  # fmt: skip
    assert producer.flush(60) == 0
    return offsets[0]


@pytest.fixture(scope="module")
def told(stack: Settings, world: World) -> pb.Sighting:
    """A stranger, from a grey frame to the rows, on every topic that there is on the way."""
    topic = frames(f"explain-{world.id}")
    apply_topics(stack, [topic])
    jpeg = cv2.imencode(".jpg", np.full((100, 200, 3), 128, np.uint8))[1].tobytes()
    frame = pb.Frame(
        camera_id=world.camera, site_id=world.site, sequence=5, captured_at_us=at(1), jpeg=jpeg,
        width=200, height=100, motion_event_id=world.event(),
    )  # fmt: skip
    offset = send(stack, topic.name, world.camera, frame.SerializeToString(), at(1))
    sighting = world.sighting(
        stranger="x", decided=1, calibration="builtin-dlib", pack="dlib", shots=1
    )
    place = pb.Position(topic=topic.name, partition=0, offset=offset)
    sighting.frame.CopyFrom(place)
    shot = pb.FaceObservation(
        observation_id=observation_id(sighting.track_id, at(1)),
        track_id=sighting.track_id, camera_id=world.camera, site_id=world.site,
        motion_event_id=world.event(), captured_at_us=at(1), frame=place, width=200, height=100,
        track_box=sighting.track_box, face_box=sighting.face_box, pack="dlib", embedding=FACE,
        quality=pb.FaceQuality(size_px=10, sharpness=0.5, frontality=0.75, overall=0.5),
    )  # fmt: skip
    ended = pb.TrackEnded(
        track_id=sighting.track_id, camera_id=world.camera, site_id=world.site,
        motion_event_id=world.event(), started_at_us=at(0), ended_at_us=at(2), frames=2,
        observations=1,
    )  # fmt: skip
    for event in (pb.FaceEvent(observation=shot), pb.FaceEvent(track_ended=ended)):
        send(stack, FACES.name, world.site, event.SerializeToString(), at(1))
    send(stack, SIGHTINGS.name, world.site, sighting.SerializeToString(), at(1))
    Pass(stack, world, LIVE, None).tell(*window(world, (0,)), sighting)
    return sighting


def explained(stack: Settings, given: str) -> dict[str, Any]:
    with connect(stack) as db:
        return explain(stack, db, UUID(given)).fields


def test_every_id_of_a_row_leads_to_its_frame(
    stack: Settings, world: World, told: pb.Sighting, tmp_path: Path
) -> None:
    visit = visitor_log_id(told.motion_event_id, told.global_id)
    kinds = {told.sighting_id: "access log", visit: "visitor log", told.track_id: "track"}
    for given, kind in kinds.items():
        found = explained(stack, given)
        assert found["is"] == kind
        assert found["sighting"]["threshold"] == 0.5
        (shot,) = found["observations"]
        assert shot["score"] == pytest.approx(1.0)  # the person is known by this very face
        assert (shot["quality"], shot["frontality"]) == (0.5, 0.75)
        assert [one["status"] for one in found["decisions"]] == ["confirmed"]
        assert found["decisions"][0]["record"]["topic"] == "sightings"
        assert found["calibration"]["source"]
        assert {one["model"] for one in found["models"]} == {"landmarks", "embedder"}
        assert found["ended"] is not None
    picture = tmp_path / "frame.jpg"
    picture.touch(mode=0o644)
    out = run(stack, "explain", told.sighting_id, "--output", str(picture))
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    where = f"topic {told.frame.topic}, partition 0, offset {told.frame.offset}: written to"
    assert where in out
    image = cv2.imread(str(picture))
    assert image is not None and image.shape == (100, 200, 3)
    x1, y1, x2, y2 = BOX
    drawn = np.abs(image.astype(int) - 128).max(axis=2)
    assert drawn[y1, x1] > 40 and drawn[y2, x2] > 40
    assert drawn[50, 150] < 12


def test_a_frame_that_kafka_no_longer_holds_is_said_to_be_gone(
    stack: Settings, world: World, told: pb.Sighting, tmp_path: Path
) -> None:
    later = world.sighting(stranger="y", start=50, decided=51, pack="dlib")
    later.frame.CopyFrom(told.frame)
    later.frame.offset += 7
    api = world.sighting(stranger="z", start=60, decided=61, pack="dlib")
    api.frame.CopyFrom(pb.Position(topic="api", offset=at(61)))
    Pass(stack, world, LIVE, None).tell(later, api)
    picture = tmp_path / "frame.jpg"
    with connect(stack) as db:
        for sighting in (later, api):
            found = explain(stack, db, UUID(sighting.sighting_id))
            assert not found.fields["frame"]["retained"]
            assert not found.write_frame(picture)
    out = run(stack, "explain", later.sighting_id, "--output", str(picture))
    assert "gone, Kafka does not hold it" in out
    assert not picture.exists()


def test_a_row_of_a_clients_crop_leads_to_the_crop(
    stack: Settings, world: World, tmp_path: Path
) -> None:
    jpeg = cv2.imencode(".jpg", np.full((90, 60, 3), 128, np.uint8))[1].tobytes()
    crop = pb.Crop(
        crop_id=str(uuid4()), camera_id=world.camera, site_id=world.site, track_number=1,
        captured_at_us=at(71), jpeg=jpeg, reply=True,
    )  # fmt: skip
    offset = send(stack, CROPS.name, world.camera, crop.SerializeToString(), at(71))
    sighting = world.sighting(stranger="crop", start=70, decided=71, pack="dlib")
    sighting.frame.CopyFrom(pb.Position(topic=CROPS.name, partition=0, offset=offset))
    Pass(stack, world, LIVE, None).tell(sighting)
    with connect(stack) as db:
        found = explain(stack, db, UUID(sighting.sighting_id))
    assert found.fields["frame"]["retained"]
    assert found.write_frame(tmp_path / "crop.jpg")
    image = cv2.imread(str(tmp_path / "crop.jpg"))
    assert image is not None and image.shape == (90, 60, 3)


def test_corrections_and_promotions_that_touched_a_row_are_told(
    stack: Settings, world: World, told: pb.Sighting
) -> None:
    with connect(stack) as db, db.cursor() as cursor:
        name_person(cursor, told.global_id, f"Xenia {world.id}", "a test")
    live, name = Pass(stack, world, LIVE, None), f"e{world.id}"
    seen = begin_run(live, name, [world.event()])
    kinds = {kind for sink in seen.sinks() for kind in sink.topics.values()}
    seen.tell(*(one for one in [*window(world, (0,)), told] if type(one) in kinds))
    try:
        with connect(stack) as db:
            promote(db, name, "a test")
        found = explained(stack, told.track_id)
        assert found["run"] == name
        assert [one["run"] for one in found["promotions"]] == [name]
        assert [one["kind"] for one in found["corrections"]] == ["name"]
        assert found["sighting"]["person_name"] == f"Xenia {world.id}"
        assert found["frame"]["retained"]
        with connect(stack) as db:
            roll_back(db, name)
        (history,) = explained(stack, told.track_id)["promotions"]
        assert history["taken_back_at"] is not None
    finally:
        forget_run(stack, name)


def test_what_is_no_row_is_one_line(stack: Settings) -> None:
    with pytest.raises(NotFoundError):
        explained(stack, str(uuid4()))
    result = run_sightline(stack.home, "explain", "no-uuid", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
