"""Vision on a real broker: a worker is killed within an event, and a corrupt frame comes along.

What is in Kafka afterwards is what a worker that nobody disturbs says of the same frames.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import pytest

from processors.vision.processor import VisionProcessor
from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import motion_event_id
from sightline.models.packs import load_pack
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import (
    Running,
    dead_letters,
    environment,
    eventually,
    program,
    read_topic,
    sightline_command,
)

pytestmark = [pytest.mark.stack, pytest.mark.models]

FLEET = "takeover"
FRAMES = topics.frames(FLEET)
CAMERAS = {"takeover-1": 3, "takeover-2": 8}
"""Camera and its partition."""
START = 1_600_000_000 * US_PER_SECOND
"""Years ago: old films are processed like new ones."""
FRAMES_OF_FILM = 80
CORRUPT = 30
"""Sequence of the first camera's frame that is cut off."""


@pytest.fixture(scope="module")
def film(shared: Path) -> list[bytes]:
    """Some JPEG frames of the stage clip."""
    capture = cv2.VideoCapture(str(shared / "media" / "stage_clip.mp4"))
    frames = [capture.read()[1] for _ in range(FRAMES_OF_FILM)]
    capture.release()
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


@contextmanager
def worker(stack: Settings, models: Path) -> Iterator[Running]:
    """A worker that puts frames of both cameras through the models together."""
    command = sightline_command("run", "vision", "--models", str(models))
    env = environment(
        stack.home, SIGHTLINE_FLEET=FLEET, SIGHTLINE_INSTANCE="1",
        SIGHTLINE_MODEL_BATCH_FRAMES="8",
    )  # fmt: skip
    with program(command, env=env) as process:
        yield process


def publish(stack: Settings, film: list[bytes]) -> None:
    producer = CheckedProducer(producer_config(stack, "takeover-test"))
    for sequence, picture in enumerate(film):
        for camera, partition in CAMERAS.items():
            corrupt = (sequence, camera) == (CORRUPT, "takeover-1")
            at = START + sequence * 33_333
            frame = pb.Frame(
                camera_id=camera,
                site_id="takeover",
                sequence=sequence,
                captured_at_us=at,
                jpeg=picture[: len(picture) // 2] if corrupt else picture,
                width=640,
                height=360,
                motion_event_id=motion_event_id(camera, START),
                first_in_event=sequence == 0,
                last_in_event=sequence == len(film) - 1,
            )
            value = frame.SerializeToString()
            producer.send(OutputRecord(FRAMES.name, camera, value, at // 1000, partition))
    producer.flush(20)


def frame_tracks(stack: Settings) -> list[pb.FrameTracks]:
    keys = [camera.encode() for camera in CAMERAS]
    return [
        pb.FrameTracks.FromString(record.value or b"")
        for record in read_topic(stack, "tracks")
        if record.key in keys
    ]


@pytest.mark.timeout(600)
def test_a_killed_worker_is_replaced_and_every_frame_is_there_once(
    stack: Settings, shared: Path, film: list[bytes]
) -> None:
    apply_topics(stack, [FRAMES])
    publish(stack, film)
    with worker(stack, shared / "models") as first:
        eventually(lambda: len(frame_tracks(stack)) > 40, 120, "the first worker begins")
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    done = len(frame_tracks(stack))
    assert done < 2 * len(film), "the first worker was killed too late"

    with worker(stack, shared / "models") as second:
        eventually(lambda: len(frame_tracks(stack)) >= 2 * len(film), 240, "the second goes on")
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0

    outputs = outputs_of(stack)
    assert outputs == undisturbed(stack, shared / "models")
    assert {topic for topic, _ in outputs} == {"tracks", "faces", "snapshots"}
    check_the_dead_letter(stack)


def outputs_of(stack: Settings) -> Counter[tuple[str, bytes]]:
    """What Kafka holds of the film: topic and value."""
    tracks = {box.track_id.encode() for frame in frame_tracks(stack) for box in frame.tracks}
    ours = {camera.encode() for camera in CAMERAS} | {b"takeover"} | tracks
    return Counter(
        (topic.name, record.value or b"")
        for topic in (topics.TRACKS, topics.FACES, topics.SNAPSHOTS)
        for record in read_topic(stack, topic.name)
        if record.key in ours
    )


def undisturbed(stack: Settings, models: Path) -> Counter[tuple[str, bytes]]:
    """What one worker says that lives from the first frame to the last, a frame at a time."""
    settings = stack.model_copy(update={"models": models, "fleet": FLEET})
    processor = VisionProcessor(load_pack(settings), settings)
    outputs: Counter[tuple[str, bytes]] = Counter()
    for record in read_topic(stack, FRAMES.name):
        outs = processor.process(record)
        with suppress(PoisonRecord):
            outputs.update((out.topic, out.value or b"") for out in outs)
    return outputs


def check_the_dead_letter(stack: Settings) -> None:
    letters = dead_letters(stack)
    (letter,) = [letter for letter in letters if letter.source.topic == FRAMES.name]
    assert (letter.source.partition, letter.source.offset) == (CAMERAS["takeover-1"], CORRUPT)
    assert (letter.service, letter.reason) == ("vision", "bad_jpeg")
    assert pb.Frame.FromString(letter.value).sequence == CORRUPT
