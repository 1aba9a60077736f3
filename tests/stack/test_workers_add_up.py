"""Two vision workers share a fleet: each counts for itself, and the sums are those of the fleet."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import motion_event_id
from sightline.runtime.clock import US_PER_SECOND, SystemClock
from sightline.runtime.service_discovery import Target
from sightline.runtime.settings import Settings
from sightline.streaming.admin import ensure_fleet_topic
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.metrics_support import is_ready, processes, shown, total
from tests.support import Running, environment, eventually, program, sightline_command

pytestmark = pytest.mark.stack

FLEET = "addup"
FRAMES = topics.frames(FLEET)
GROUP = f"sightline-vision-{FLEET}"
CAMERAS = {"addup-1": 0, "addup-2": 1}
"""Camera and its partition, which two workers do not share."""
EACH = 40
CORRUPT = 7


@contextmanager
def worker(stack: Settings, number: int) -> Iterator[Running]:
    env = environment(
        stack.home, SIGHTLINE_FLEET=FLEET, SIGHTLINE_INSTANCE=str(number), SIGHTLINE_PACK="dlib"
    )
    with program(sightline_command("run", "vision"), env=env) as process:
        yield process


def publish(stack: Settings, frames: int) -> None:
    """So many frames of each camera, of now; one of the first camera's is no picture."""
    producer = CheckedProducer(producer_config(stack, "addup-test"))
    jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    start = SystemClock().now_us()
    for camera, partition in CAMERAS.items():
        for sequence in range(frames):
            at = start + sequence * US_PER_SECOND // 1000
            frame = pb.Frame(
                camera_id=camera,
                site_id="addup",
                sequence=sequence,
                captured_at_us=at,
                jpeg=b"no picture" if (camera, sequence) == ("addup-1", CORRUPT) else jpeg,
                motion_event_id=motion_event_id(camera, start),
                first_in_event=sequence == 0,
                last_in_event=sequence == frames - 1,
            )
            value = frame.SerializeToString()
            producer.send(OutputRecord(FRAMES.name, camera, value, at // 1000, partition))
    producer.flush(60)


def test_what_two_workers_show_adds_up(stack: Settings) -> None:
    def ready() -> list[Target]:
        found = [one for one in processes(stack.home, "vision", FLEET) if is_ready(one.address)]
        return found if len(found) == 2 else []

    ensure_fleet_topic(stack, FLEET)
    with worker(stack, 0), worker(stack, 1):
        both = eventually(ready)
        publish(stack, EACH)
        eventually(lambda: total(both, "sightline_frames_processed_total", fleet=FLEET) >= 2 * EACH)
        of_each = [total([one], "sightline_frames_processed_total", fleet=FLEET) for one in both]
        taken = total(both, "sightline_records_total", service="vision", topic=FRAMES.name)
        waits = total(both, "sightline_record_wait_seconds_count", topic=FRAMES.name)
        given_up = total(both, "sightline_dead_letters_total", service="vision")
        decoded = total(both, "sightline_stage_seconds_count", stage="decode")

        def lag(name: str) -> float:
            return total(both, f"sightline_consumer_lag_{name}", group=GROUP, topic=FRAMES.name)

        eventually(lambda: lag("records") == 0 and lag("seconds") == 0)
        models = {
            labels["pack"] for one in both for labels, _ in shown(one, "sightline_model_info")
        }

    assert (sum(of_each), taken, waits) == (2 * EACH, 2 * EACH, 2 * EACH)
    assert (given_up, decoded) == (1, 2 * EACH)
    assert min(of_each) >= 1, "one of them did everything"
    assert models == {"dlib"}
