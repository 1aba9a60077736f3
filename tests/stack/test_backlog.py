"""Live frames that waited while vision was away: every second of them is looked at."""

from collections import Counter

import cv2
import numpy as np
import pytest

from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import motion_event_id
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import environment, eventually, program, read_topic, sightline_command

pytestmark = pytest.mark.stack

FLEET, CAMERA = "backlog", "backlog-cam"
FRAMES = topics.frames(FLEET)
SECONDS, FPS = 40, 10
START_US = 1_790_000_000 * US_PER_SECOND


def publish(stack: Settings) -> None:
    """Publish a live camera's frames of many seconds at once, as its spool does after an outage."""
    picture = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    producer = CheckedProducer(producer_config(stack, "backlog-test"))
    for number in range(SECONDS * FPS):
        frame = pb.Frame(
            camera_id=CAMERA,
            site_id="backlog",
            sequence=number,
            captured_at_us=START_US + number * US_PER_SECOND // FPS,
            jpeg=jpeg,
            width=160,
            height=120,
            motion_event_id=motion_event_id(CAMERA, START_US),
            first_in_event=number == 0,
            last_in_event=number == SECONDS * FPS - 1,
            live=True,
        )
        producer.send(
            OutputRecord(
                FRAMES.name, CAMERA, frame.SerializeToString(), frame.captured_at_us // 1000, 0
            )
        )
    producer.flush(60)


def seen(stack: Settings) -> list[pb.FrameTracks]:
    records = read_topic(stack, topics.TRACKS.name)
    frames = [pb.FrameTracks.FromString(record.value or b"") for record in records]
    return [frame for frame in frames if frame.camera_id == CAMERA]


def test_every_second_of_a_backlog_is_looked_at(stack: Settings) -> None:
    apply_topics(stack, [FRAMES])
    publish(stack)
    env = environment(stack.home, SIGHTLINE_FLEET=FLEET, SIGHTLINE_PACK="dlib")
    with program(sightline_command("run", "vision"), env=env) as worker:
        eventually(lambda: len(seen(stack)) == SECONDS * FPS, 240)
        worker.terminate()
        assert worker.wait(60) == 0
    processed = Counter(
        (frame.captured_at_us - START_US) // US_PER_SECOND
        for frame in seen(stack)
        if not frame.skipped
    )
    assert min(processed[second] for second in range(SECONDS)) >= 5
