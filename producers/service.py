"""The service `cameras`: a thread for each camera of the database, as the table says now."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from producers.camera import CameraLoop
from producers.capture import quiet_opencv
from producers.gauges import forget
from producers.publish import Publisher
from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, SightlineError, first_line
from sightline.runtime.health import DATABASE, KAFKA
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.log import about
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import Camera, CameraStatus
from sightline.storage.db import Connection, connect

log = logging.getLogger(__name__)

_FOLLOW_SECONDS: Final = 2.0
"""How soon a camera that was added, changed or removed is noticed."""

_LOOK_SECONDS: Final = 0.2


def run(settings: Settings) -> None:
    """Read every camera until SIGTERM, then end its events and deliver what is queued."""
    stop = start_service("cameras", settings)
    quiet_opencv()
    CameraService(settings, stop).run()


@dataclass(slots=True)
class _Running:
    camera: Camera
    stop: Stop
    thread: threading.Thread
    publisher: Publisher | None = None


@dataclass(slots=True)
class CameraService:
    """Starts and stops cameras, and writes how they fare.

    Frames do not need the database: while it is away, cameras go on as they are.
    """

    settings: Settings
    stop: Stop
    clock: Clock = field(default_factory=SystemClock)
    _running: dict[str, _Running] = field(default_factory=dict)
    _reports: queue.SimpleQueue[tuple[Camera, CameraStatus, str | None]] = field(
        default_factory=queue.SimpleQueue
    )
    _unwritten: dict[str, tuple[Camera, CameraStatus, str | None]] = field(default_factory=dict)
    _connection: Connection | None = None

    def run(self) -> None:
        """Work until the stop. Raises SightlineError when there is no database at the start."""
        self._connection = connect(self.settings, autocommit=True)
        try:
            while not self.stop:
                self.stop.beat()
                self._with_database(self._follow)
                self._tell_health()
                until = time.monotonic() + _FOLLOW_SECONDS
                while not self.stop and time.monotonic() < until:
                    self.stop.beat()
                    if self._collect(_LOOK_SECONDS):
                        self._with_database(self._write_reports)
        finally:
            self._stop_all()
            if self._connection is not None:
                self._connection.close()

    def _tell_health(self) -> None:
        health = self.stop.health
        health.ready()
        health.tell(DATABASE, self._connection is not None)
        publishers = [one.publisher for one in self._running.values() if one.publisher]
        health.tell(KAFKA, not any(publisher.is_waiting for publisher in publishers))

    def _with_database(self, work: Callable[[Connection], None]) -> None:
        try:
            if self._connection is None:
                self._connection = connect(self.settings, autocommit=True)
            work(self._connection)
        except (psycopg.OperationalError, SightlineError) as error:
            log.warning("cameras go on as they are: %s", first_line(error))
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _follow(self, connection: Connection) -> None:
        # In this order: a film that ends in between is not taken for one that has crashed.
        gone = [name for name, one in self._running.items() if not one.thread.is_alive()]
        self._collect()
        self._write_reports(connection)
        wanted = {
            camera.camera_id: camera
            for camera in cameras.list_cameras(connection)
            if camera.status != "ended"
        }
        for name in gone:
            del self._running[name]
            if name not in wanted:
                forget(name)
        for name, one in self._running.items():
            if name not in wanted or wanted[name].spec != one.camera.spec:
                one.stop.request()
        for name, camera in wanted.items():
            if name not in self._running:
                self._start(camera)

    def _start(self, camera: Camera) -> None:
        stop = Stop(self.settings.shutdown_seconds, self.stop.health, _loop(camera))
        thread = threading.Thread(
            target=self._run_camera,
            args=(camera, stop),
            name=f"camera {camera.camera_id}",
            daemon=True,
        )
        self._running[camera.camera_id] = _Running(camera, stop, thread)
        thread.start()

    def _run_camera(self, camera: Camera, stop: Stop) -> None:
        try:
            publisher = Publisher(self.settings, camera)
            self._running[camera.camera_id].publisher = publisher
            loop = CameraLoop(camera, publisher, self._report, stop, self.stop, self.clock)
            with about(camera=camera.camera_id):
                loop.run()
        except (InfrastructureError, SightlineError) as error:
            # The camera is started again when the table is looked at next.
            log.warning("%s: %s", camera.camera_id, error)
            metrics.CAMERA_UP.labels(camera.camera_id).set(0)
            self._report(camera, "down", str(error))
        finally:
            self.stop.health.over(_loop(camera))

    def _report(self, camera: Camera, status: CameraStatus, detail: str | None) -> None:
        self._reports.put((camera, status, detail))

    def _collect(self, seconds: float = 0.0) -> bool:
        """Take in reports, waiting for at most so long for the first; whether there were any."""
        found = False
        while True:
            try:
                report = self._reports.get(timeout=0 if found else seconds)
            except queue.Empty:
                return found
            self._unwritten[report[0].camera_id] = report
            found = True

    def _write_reports(self, connection: Connection) -> None:
        for name, (camera, status, detail) in list(self._unwritten.items()):
            cameras.set_status(connection, camera, status, detail)
            del self._unwritten[name]

    def _stop_all(self) -> None:
        self.stop.request()
        for one in self._running.values():
            one.stop.request()
        for one in self._running.values():
            one.thread.join(self.stop.remaining())
        for name, one in self._running.items():
            if one.publisher is not None:
                log.info("%s: %s", name, one.publisher.account)
        self._collect()
        self._with_database(self._write_reports)


def _loop(camera: Camera) -> str:
    """What the loop of a camera is called among those of the service."""
    return f"camera {camera.camera_id}"
