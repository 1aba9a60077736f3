"""`make bench-guarantees`: what transactions and state cost vision, in frames/s and in latency.

The same frames go through the service and through a worker without guarantees, one after the
other and several times: a machine is not equally fast at all times. Each has one process for each
core. A frame is through when a reader that sees committed records only has its record in `tracks`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from benchmarks.material import Material, material
from benchmarks.rig import own_folder
from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.ids import motion_event_id
from sightline.clock import US, SystemClock
from sightline.demo import stage
from sightline.errors import SightlineError
from sightline.kafka.admin import ensure_fleet_topic
from sightline.kafka.config import client_config, consumer_config, producer_config
from sightline.kafka.messages import checked
from sightline.kafka.producer import SureProducer
from sightline.kafka.records import Out
from sightline.log import LIBRDKAFKA, configure_logging
from sightline.settings import Settings

MOST_LOST = 0.15
"""Of the frames per second, at most."""

MOST_LATER = 0.150
"""Seconds that 95% of the frames may come later, at most."""

_CAMERAS = 4
_FRAMES = 150
"""Of each camera, in one round."""

_ROUNDS = 3
_RATE = 30
"""Frames per second of a camera, whose every other frame people are looked for in."""

_LOAD = 0.5
"""Of the cameras that the workers can keep up with, while latency is measured."""

_LIVE_SECONDS = 20.0
_PATIENCE_SECONDS = 300.0

_WORKERS = {
    "with": ("sightline", "run", "vision"),
    "without": ("benchmarks.plain_worker",),
}

console = Console()


@dataclass(slots=True)
class Cost:
    """What was measured of one way of working, over all rounds."""

    frames: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Frames per second of all workers together."""
        return self.frames / self.seconds

    @property
    def p95(self) -> float:
        """The same, of 95% of the frames."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> float:
        """Seconds from a frame's capture to its record in `tracks`, of a share of the frames."""
        return float(np.quantile(self.latencies, share))


class Bench:
    """The workers of one fleet, whose cameras all show the same film."""

    def __init__(self, settings: Settings, fleet: str, film: Sequence[bytes]) -> None:
        self._settings = settings
        self._fleet = fleet
        self._film = film
        self._clock = SystemClock()
        self._producer = SureProducer(producer_config(settings, "bench"))
        self._cameras = [f"{fleet}-{number}" for number in range(_CAMERAS)]
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
        until = time.monotonic() + _PATIENCE_SECONDS
        while self._settled_members(admin) != stage.WORKERS:
            if time.monotonic() > until:
                raise SightlineError("the workers did not come up")
            time.sleep(0.2)
        self._send(0, self._clock.now_us(), self._clock.now_us(), last=True)
        self._read(_CAMERAS)

    def backlog(self) -> float:
        """Seconds for the whole film of every camera, published at once."""
        began, start = time.monotonic(), self._clock.now_us()
        for number in range(_FRAMES):
            self._send(number, start, start + number * US // _RATE, last=number == _FRAMES - 1)
        self._read(_CAMERAS * _FRAMES)
        return time.monotonic() - began

    def live(self, cameras: int) -> list[float]:
        """Seconds from each frame's capture to its record, with so many cameras at their rate."""
        start = self._clock.now_us()
        began = time.monotonic()
        rounds = round(_LIVE_SECONDS * _RATE)
        latencies: list[float] = []
        for number in range(rounds):
            until = began + number / _RATE
            while (wait := until - time.monotonic()) > 0:
                latencies += self._arrivals(wait)
            last = number == rounds - 1
            self._send(number, start, self._clock.now_us(), last=last, cameras=cameras)
        latencies += self._read(cameras * rounds - len(latencies))
        return latencies

    def _send(
        self, number: int, start_us: int, at_us: int, *, last: bool, cameras: int = _CAMERAS
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
            self._producer.send(Out(name, camera, value, at_us // 1000, partition))

    def _settled_members(self, admin: AdminClient) -> int:
        group = f"sightline-vision-{self._fleet}"
        try:
            found = admin.describe_consumer_groups([group])[group].result(30)
        except KafkaException:  # the broker has only begun to look after it
            return 0
        return len(found.members) if found.state == ConsumerGroupState.STABLE else 0

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
        found = [record.decode(pb.FrameTracks) for record in checked([message] if message else [])]
        now = self._clock.now_us()
        return [(now - one.captured_at_us) / US for one in found if one.camera_id in self._cameras]


@contextmanager
def bench(settings: Settings, fleet: str, way: str, film: Sequence[bytes]) -> Iterator[Bench]:
    """A fleet with its workers, warm."""
    with ExitStack() as stack:
        its = Bench(settings, fleet, film)
        stack.callback(its.close)
        for number in range(stage.WORKERS):
            env = os.environ | {"SIGHTLINE_FLEET": fleet, "SIGHTLINE_INSTANCE": str(number)}
            command = [sys.executable, "-m", *_WORKERS[way]]
            worker = subprocess.Popen(command, env=env | {"SIGHTLINE_LOG_LEVEL": "WARNING"})
            stack.callback(worker.wait, 30)
            stack.callback(worker.terminate)
        its.warm_up()
        yield its


def measure(settings: Settings, film: Sequence[bytes]) -> dict[str, Cost]:
    """Both ways, in turns."""
    costs = {way: Cost() for way in _WORKERS}
    for turn in range(_ROUNDS):
        order = list(costs) if turn % 2 else list(reversed(costs))
        for way in order:
            with bench(settings, f"fps-{way}-{turn}", way, film) as its:
                costs[way].seconds += its.backlog()
                costs[way].frames += _CAMERAS * _FRAMES
    possible = min(cost.fps for cost in costs.values()) / _RATE
    cameras = min(_CAMERAS, max(1, round(_LOAD * possible)))
    console.print(f"latency, with {cameras} cameras of the {possible:.1f} that are possible ...")
    for turn in range(_ROUNDS):
        for way, cost in costs.items():
            with bench(settings, f"live-{way}-{turn}", way, film) as its:
                cost.latencies += its.live(cameras)
    return costs


def read_film(what: Material) -> list[bytes]:
    """Its first frames as JPEG."""
    capture = cv2.VideoCapture(str(what.film))
    film: list[bytes] = []
    while len(film) < _FRAMES:
        there, picture = capture.read()
        if not there:
            break
        film.append(cv2.imencode(".jpg", picture)[1].tobytes())
    capture.release()
    return film


def _print(costs: dict[str, Cost]) -> None:
    table = Table(title=f"vision, {stage.WORKERS} workers, {_CAMERAS} cameras")
    for column in ("transactions and state", "frames/s", "latency p50", "p95"):
        table.add_column(column)
    for way, cost in costs.items():
        half = cost.quantile(0.5)
        table.add_row(way, f"{cost.fps:.1f}", f"{half * 1000:.0f} ms", f"{cost.p95 * 1000:.0f} ms")
    console.print(table)


def main() -> None:
    """Measure, print, and fail where it costs more than is promised."""
    with own_folder() as folder, own_folder() as home:
        what = material(folder)
        settings = stage.own_settings(home, what.models)
        with stage.running_stack(settings):
            console.print(f"frames/s, {_ROUNDS} rounds of both ...")
            costs = measure(settings, read_film(what))
    _print(costs)
    sure, plain = costs["with"], costs["without"]
    lost = 1 - sure.fps / plain.fps
    later = sure.p95 - plain.p95
    console.print(
        f"cost: {lost:.1%} of the frames/s (at most {MOST_LOST:.0%}),"
        f" {later * 1000:.0f} ms at p95 (at most {MOST_LATER * 1000:.0f})"
    )
    summary: dict[str, Any] = {
        "fps_with": round(sure.fps, 2),
        "fps_without": round(plain.fps, 2),
        "fps_lost": round(lost, 4),
        "p95_ms_with": round(sure.p95 * 1000),
        "p95_ms_without": round(plain.p95 * 1000),
        "p95_ms_later": round(later * 1000),
    }
    print(json.dumps(summary))
    if lost > MOST_LOST or later > MOST_LATER:
        raise SightlineError("the guarantees cost more than is promised")


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    try:
        main()
    except SightlineError as error:
        sys.exit(f"bench-guarantees: {error}")
