"""The service `cameras`: one thread for each camera in the database."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import psycopg

from producers.camera_loop import CameraLoop
from producers.camera_metrics import remove_metrics
from producers.opencv_capture import quiet_opencv
from producers.publisher import Publisher
from producers.settings import CaptureSettings
from sightline.runtime import metrics
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, SightlineError, first_line
from sightline.runtime.health import DATABASE, KAFKA
from sightline.runtime.lifecycle import Stop, start_service
from sightline.runtime.log import log_fields
from sightline.runtime.settings import Settings
from sightline.storage import cameras
from sightline.storage.cameras import Camera, CameraStatus
from sightline.storage.db import Connection, connect

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 2.0
"""Poll interval of the table of cameras."""

_REPORT_WAIT_SECONDS: Final = 0.2


def run(settings: Settings) -> None:
    """Read every camera until SIGTERM, then end open events and deliver queued frames."""
    stop = start_service("cameras", settings)
    quiet_opencv()
    CameraService(settings, stop).run()


@dataclass(slots=True)
class _CameraThread:
    camera: Camera
    stop: Stop
    thread: threading.Thread
    publisher: Publisher | None = None


@dataclass(slots=True)
class CameraService:
    """Starts and stops camera threads, and writes the cameras' status to the database.

    Frames do not need the database: while it is away, cameras continue unchanged.
    """

    settings: Settings
    stop: Stop
    clock: Clock = field(default_factory=SystemClock)
    _threads: dict[str, _CameraThread] = field(default_factory=dict)
    _reports: queue.SimpleQueue[tuple[Camera, CameraStatus, str | None]] = field(
        default_factory=queue.SimpleQueue
    )
    _unwritten: dict[str, tuple[Camera, CameraStatus, str | None]] = field(default_factory=dict)
    _connection: Connection | None = None

    def run(self) -> None:
        """Serve until the stop. Raises SightlineError when there is no database at the start."""
        self._connection = connect(self.settings, autocommit=True)
        try:
            while not self.stop.is_set():
                self.stop.beat()
                self._with_database(self._update_cameras)
                self._report_health()
                deadline = time.monotonic() + _POLL_SECONDS
                while not self.stop.is_set() and time.monotonic() < deadline:
                    self.stop.beat()
                    if self._collect(_REPORT_WAIT_SECONDS):
                        self._with_database(self._write_reports)
        finally:
            self._stop_all()
            if self._connection is not None:
                self._connection.close()

    def _report_health(self) -> None:
        health = self.stop.health
        health.mark_ready()
        health.report(DATABASE, self._connection is not None)
        publishers = [running.publisher for running in self._threads.values() if running.publisher]
        health.report(KAFKA, not any(publisher.is_waiting for publisher in publishers))

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

    def _update_cameras(self, connection: Connection) -> None:
        # In this order: a film that ends in between is not mistaken for one that has crashed.
        ended = [name for name, running in self._threads.items() if not running.thread.is_alive()]
        self._collect()
        self._write_reports(connection)
        configured = {
            camera.camera_id: camera
            for camera in cameras.list_cameras(connection)
            if camera.status != "ended"
        }
        for name in ended:
            del self._threads[name]
            if name not in configured:
                remove_metrics(name)
        for name, running in self._threads.items():
            if name not in configured or configured[name].spec != running.camera.spec:
                running.stop.request()
        for name, camera in configured.items():
            if name not in self._threads:
                self._start(camera)

    def _start(self, camera: Camera) -> None:
        stop = Stop(self.settings.shutdown_seconds, self.stop.health, _loop(camera))
        thread = threading.Thread(
            target=self._run_camera,
            args=(camera, stop),
            name=f"camera {camera.camera_id}",
            daemon=True,
        )
        self._threads[camera.camera_id] = _CameraThread(camera, stop, thread)
        thread.start()

    def _run_camera(self, camera: Camera, stop: Stop) -> None:
        try:
            publisher = Publisher(self.settings, camera)
            self._threads[camera.camera_id].publisher = publisher
            loop = CameraLoop(
                camera,
                publisher,
                self._report,
                stop,
                self.stop,
                self.clock,
                self.settings.secrets,
                CaptureSettings.of(self.settings),
            )
            with log_fields(camera=camera.camera_id):
                loop.run()
        except (InfrastructureError, SightlineError) as error:
            # The camera is started again with the next poll of the table.
            log.warning("%s: %s", camera.camera_id, error)
            metrics.CAMERA_UP.labels(camera.camera_id).set(0)
            self._report(camera, "down", str(error))
        finally:
            self.stop.health.end_loop(_loop(camera))

    def _report(self, camera: Camera, status: CameraStatus, detail: str | None) -> None:
        self._reports.put((camera, status, detail))

    def _collect(self, seconds: float = 0.0) -> bool:
        """Take reports from the queue, waiting for the first one; return True if there were any."""
        has_reports = False
        while True:
            try:
                report = self._reports.get(timeout=0 if has_reports else seconds)
            except queue.Empty:
                return has_reports
            self._unwritten[report[0].camera_id] = report
            has_reports = True

    def _write_reports(self, connection: Connection) -> None:
        for name, (camera, status, detail) in list(self._unwritten.items()):
            cameras.set_status(connection, camera, status, detail)
            del self._unwritten[name]

    def _stop_all(self) -> None:
        self.stop.request()
        for running in self._threads.values():
            running.stop.request()
        for running in self._threads.values():
            running.thread.join(self.stop.remaining_seconds())
        for name, running in self._threads.items():
            if running.publisher is not None:
                log.info("%s: %s", name, running.publisher.account)
        self._collect()
        self._with_database(self._write_reports)


def _loop(camera: Camera) -> str:
    """Return the name of a camera's loop for the service's liveness probe."""
    return f"camera {camera.camera_id}"
