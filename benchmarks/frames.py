"""Frames of a film for vision workers of their own, and when they are through.

A frame is through when a reader that sees committed records only has its record in `tracks`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import cv2
import psutil
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.material import Material
from benchmarks.rig import wait_for
from ops.demo import installation
from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import motion_event_id
from schemas.naming import vision_group
from schemas.topics import LIVE
from sightline.runtime.clock import US_PER_SECOND, SystemClock
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.admin import ensure_fleet_topic
from sightline.streaming.client_config import client_config, consumer_config, producer_config
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord

CAMERAS = 4
FRAMES = 150
"""Of each camera, in one round."""

RATE = 30
"""Frames per second of a camera, whose every other frame people are looked for in."""

_LIVE_SECONDS = 20.0
_PATIENCE_SECONDS = 300.0


class Bench:
    """The workers of one fleet, whose cameras all show the same film."""

    def __init__(self, settings: Settings, fleet: str, film: Sequence[bytes]) -> None:
        self._settings = settings
        self._fleet = fleet
        self._film = film
        self._clock = SystemClock()
        self.workers: list[psutil.Process] = []
        self._producer = CheckedProducer(producer_config(settings, "bench"))
        self._cameras = [f"{fleet}-{number}" for number in range(CAMERAS)]
        self._reader = Consumer(consumer_config(settings, "bench", "bench"), logger=LIBRDKAFKA)
        tracks = topics.TRACKS
        self._reader.assign([TopicPartition(tracks.name, at, 0) for at in range(tracks.partitions)])
        ensure_fleet_topic(settings, fleet)

    def close(self) -> None:
        """End the clients."""
        self._reader.close()

    def warm_up(self) -> None:
        """Wait until every worker has its share, and has seen a picture."""
        admin = AdminClient(client_config(self._settings, "bench"), logger=LIBRDKAFKA)
        if not wait_for(
            lambda: self._settled_members(admin) == installation.WORKERS, _PATIENCE_SECONDS, 0.2
        ):
            raise SightlineError("the workers did not come up")
        self._send(0, self._clock.now_us(), self._clock.now_us(), last=True)
        self._read(CAMERAS)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all workers since their start."""
        times = [worker.cpu_times() for worker in self.workers]
        return sum(time.user + time.system for time in times)

    def backlog(self) -> float:
        """Return the seconds for the whole film of every camera, published at once."""
        began, start = time.monotonic(), self._clock.now_us()
        for number in range(FRAMES):
            self._send(
                number, start, start + number * US_PER_SECOND // RATE, last=number == FRAMES - 1
            )
        self._read(CAMERAS * FRAMES)
        return time.monotonic() - began

    def live(self, cameras: int) -> list[float]:
        """Return seconds from capture to record of each frame, with cameras at their own rate."""
        start = self._clock.now_us()
        began = time.monotonic()
        rounds = round(_LIVE_SECONDS * RATE)
        latencies: list[float] = []
        for number in range(rounds):
            until = began + number / RATE
            while (wait := until - time.monotonic()) > 0:
                latencies += self._arrivals(wait)
            last = number == rounds - 1
            self._send(number, start, self._clock.now_us(), last=last, cameras=cameras)
        latencies += self._read(cameras * rounds - len(latencies))
        return latencies

    def _send(
        self, number: int, start_us: int, at_us: int, *, last: bool, cameras: int = CAMERAS
    ) -> None:
        for partition, camera in enumerate(self._cameras[:cameras]):
            frame = pb.Frame(
                camera_id=camera,
                site_id="bench",
                sequence=number,
                captured_at_us=at_us,
                jpeg=self._film[number % len(self._film)],
                motion_event_id=motion_event_id(camera, start_us),
                first_in_event=number == 0,
                last_in_event=last,
            )
            name = topics.frames(self._fleet).name
            value = frame.SerializeToString()
            self._producer.send(OutputRecord(name, camera, value, at_us // 1000, partition))

    def _settled_members(self, admin: AdminClient) -> int:
        group = vision_group(self._fleet, LIVE)
        try:
            description = admin.describe_consumer_groups([group])[group].result(30)
        except (KafkaException, TimeoutError):  # the broker has only begun to look after it
            return 0
        return len(description.members) if description.state == ConsumerGroupState.STABLE else 0

    def _read(self, count: int) -> list[float]:
        latencies: list[float] = []
        until = time.monotonic() + _PATIENCE_SECONDS
        while len(latencies) < count:
            if time.monotonic() > until:
                raise SightlineError(f"{len(latencies)} of {count} frames came through")
            latencies += self._arrivals(1.0)
        return latencies

    def _arrivals(self, seconds: float) -> list[float]:
        message = self._reader.poll(seconds)
        records = to_records([message] if message else [])
        tracks = [record.decode(pb.FrameTracks) for record in records]
        now = self._clock.now_us()
        return [
            (now - at.captured_at_us) / US_PER_SECOND
            for at in tracks
            if at.camera_id in self._cameras
        ]


@contextmanager
def bench(
    settings: Settings, fleet: str, command: Sequence[str], film: Sequence[bytes]
) -> Iterator[Bench]:
    """A fleet with its workers, warm; `command` is what Python runs as a worker."""
    with ExitStack() as stack:
        its = Bench(settings, fleet, film)
        stack.callback(its.close)
        for number in range(installation.WORKERS):
            env = os.environ | {"SIGHTLINE_FLEET": fleet, "SIGHTLINE_INSTANCE": str(number)}
            worker = subprocess.Popen(
                [sys.executable, "-m", *command], env=env | {"SIGHTLINE_LOG_LEVEL": "WARNING"}
            )
            its.workers.append(psutil.Process(worker.pid))
            stack.callback(worker.wait, 30)
            stack.callback(worker.terminate)
        its.warm_up()
        yield its


def read_film(material: Material) -> list[bytes]:
    """Return the material's first frames as JPEG."""
    capture = cv2.VideoCapture(str(material.film))
    film: list[bytes] = []
    while len(film) < FRAMES:
        is_readable, picture = capture.read()
        if not is_readable:
            break
        film.append(cv2.imencode(".jpg", picture)[1].tobytes())
    capture.release()
    return film
