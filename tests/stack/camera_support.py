"""What the tests of cameras share: a film, a service in a thread, and what has been counted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from prometheus_client import REGISTRY

from producers.service import CameraService
from schemas import sightline_pb2 as pb
from schemas.topics import MOTION_EVENTS, frames
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.connection_urls import kafka_servers
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import Camera, CameraSettings, NewCamera, validated
from sightline.storage.db import connect
from sightline.streaming.admin import ensure_fleet_topic
from sightline.streaming.records import Record
from tests.support import read_topic


def broker_process(stack: Settings) -> psutil.Process:
    """The process of the embedded broker."""
    address = int(kafka_servers(stack).rpartition(":")[2])
    return next(
        psutil.Process(one.pid)
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.pid and one.laddr[1:] == (address,)
    )


def make_film(path: Path, frames: int, fps: float = 10.0) -> Path:
    """A square that wanders over a still room, 320x240, as Motion JPEG."""
    room = np.random.default_rng(5).integers(60, 120, (240, 320, 3)).astype(np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (320, 240))
    for number in range(frames):
        image = room.copy()
        left = number * 7 % 260
        image[90:150, left : left + 40] = (20, 40, 220)
        writer.write(image)
    writer.release()
    return path


def add_camera(stack: Settings, camera_id: str, uri: str, fleet: str, **settings: Any) -> Camera:
    """A camera in the database, its fleet's topic in Kafka."""
    ensure_fleet_topic(stack, fleet)
    new = validated(
        NewCamera,
        camera_id=camera_id,
        uri=uri,
        fleet=fleet,
        site_id="cameras",
        settings=validated(CameraSettings, **settings),
    )
    with connect(stack) as connection:
        return cameras.add(connection, new)


def remove_camera(stack: Settings, camera_id: str) -> None:
    with connect(stack) as connection:
        cameras.remove(connection, camera_id)


def status(stack: Settings, camera_id: str) -> str:
    with connect(stack) as connection:
        return cameras.get(connection, camera_id).status


@contextmanager
def serving(stack: Settings, clock: Clock | None = None) -> Iterator[Stop]:
    """The service, in a thread; drained at the end."""
    stop = Stop(stack.shutdown_seconds)
    service = CameraService(stack, stop, clock or SystemClock())
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield stop
    finally:
        stop.request()
        thread.join(stack.shutdown_seconds + 5)
        assert not thread.is_alive()


def counted(name: str, camera_id: str, **labels: str) -> int:
    """A camera's counter, 0 before it has counted."""
    value = REGISTRY.get_sample_value(name, {"camera": camera_id, **labels})
    return int(value or 0)


def captured(camera_id: str) -> int:
    return counted("sightline_frames_captured_total", camera_id)


def delivered(camera_id: str) -> int:
    return counted("sightline_frames_delivered_total", camera_id)


def dropped(camera_id: str) -> dict[str, int]:
    """Frames dropped, by reason."""
    return {
        sample.labels["reason"]: int(sample.value)
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "sightline_frames_dropped_total" and sample.labels["camera"] == camera_id
    }


def frames_of(stack: Settings, camera: Camera) -> list[Record]:
    """The records of a camera's frames."""
    key = camera.camera_id.encode()
    return [one for one in read_topic(stack, frames(camera.fleet).name) if one.key == key]


def motion_of(stack: Settings, camera: Camera) -> list[pb.MotionEvent]:
    """What has been said of a camera's motion."""
    key = camera.camera_id.encode()
    records = [one for one in read_topic(stack, MOTION_EVENTS.name) if one.key == key]
    return [one.decode(pb.MotionEvent) for one in records]


def check_events(stack: Settings, camera: Camera) -> list[pb.Frame]:
    """All frames of a camera, every event of which must be whole and told of truly."""
    found = [one.decode(pb.Frame) for one in frames_of(stack, camera)]
    said = motion_of(stack, camera)
    started = [one for one in said if one.kind == pb.MotionEvent.STARTED]
    ended = [one for one in said if one.kind == pb.MotionEvent.ENDED]
    assert [one.event_id for one in started] == [one.event_id for one in ended]
    for event in ended:
        frames_in = [one for one in found if one.motion_event_id == event.event_id]
        assert event.frames == len(frames_in)
        assert [one.last_in_event for one in frames_in] == [False] * (len(frames_in) - 1) + [True]
        assert frames_in[0].first_in_event
        assert frames_in[0].sequence == event.first_sequence
        assert frames_in[0].captured_at_us == event.started_at_us
        assert frames_in[-1].sequence == event.last_sequence
        assert frames_in[-1].captured_at_us == event.at_us
    assert sum(one.frames for one in ended) == len(found)
    sequences = [one.sequence for one in found]
    assert sequences == sorted(set(sequences))
    return found
