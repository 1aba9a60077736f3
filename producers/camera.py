"""The life of one camera: reach it, read it, publish what moves, reach it again."""

import logging
from collections.abc import Callable
from typing import Final

from producers.events import EventCutter, Shot
from producers.ledger import Ledger
from producers.pictures import Source, SourceLostError
from producers.publish import Publisher
from producers.sources import open_source
from sightline import metrics
from sightline.clock import Clock
from sightline.lifecycle import Stop
from sightline.store.cameras import Camera, CameraStatus

log = logging.getLogger(__name__)

Report = Callable[[Camera, CameraStatus, str | None], None]

_LONGEST_PAUSE: Final = 30.0
_POLL_SECONDS: Final = 0.1


def pause_before(attempt: int) -> float:
    """Seconds before a lost camera is tried again: 1, 2, 4, 8, 16, 30, 30, ..."""
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt, 10))


class CameraLoop:
    """Reads one camera until it is told to stop, or until its film has ended."""

    def __init__(
        self,
        camera: Camera,
        publisher: Publisher,
        ledger: Ledger,
        report: Report,
        stop: Stop,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._publisher = publisher
        self._cutter = EventCutter(camera.camera_id, camera.settings, ledger)
        self._report = report
        self._stop = stop
        self._clock = clock
        self._attempt = 0

    def run(self) -> None:
        """Work; raises InfrastructureError when Kafka does not go on."""
        try:
            while not self._stop:
                try:
                    self._connect_and_read()
                except EOFError:
                    self._deliver_all()
                    self._say("ended", None)
                    return
                except SourceLostError as error:
                    self._say("down", str(error))
                    self._pause(pause_before(self._attempt))
                    self._attempt += 1
                    if not self._stop:
                        metrics.CAMERA_RECONNECTS.labels(self._camera.camera_id).inc()
            self._say("down", "not being read: the service has stopped")
        finally:
            self._stop.request()  # over, for whatever reason: from now on the deadline counts
            self._publisher.close(self._stop)

    def _connect_and_read(self) -> None:
        source = open_source(
            self._camera.uri.get_secret_value(),
            self._camera.settings,
            self._clock,
            self._stop.wait,
        )
        try:
            self._read(source)
        finally:
            source.close()
            self._publish(self._cutter.finish(), patient=False)

    def _read(self, source: Source) -> None:
        self._cutter.connected()
        is_up = False
        while not self._stop:
            self._publisher.poll()
            picture = source.read()
            if picture is None:
                continue
            if not is_up:
                is_up, self._attempt = True, 0
                self._say("up", None)
            self._publish(self._cutter.take(picture), patient=not source.is_live)

    def _publish(self, shots: list[Shot], *, patient: bool) -> None:
        for shot in shots:
            # A film waits for the broker; a live camera's frames are dropped, and counted.
            while patient and self._publisher.is_full and not self._stop:
                self._publisher.poll(_POLL_SECONDS)
            self._publisher.publish(shot)

    def _deliver_all(self) -> None:
        while not self._publisher.is_settled and not self._stop:
            self._publisher.poll(_POLL_SECONDS)

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stop and (left := until - self._clock.monotonic()) > 0:
            self._publisher.poll()
            self._stop.wait(min(left, _POLL_SECONDS))

    def _say(self, status: CameraStatus, detail: str | None) -> None:
        metrics.CAMERA_UP.labels(self._camera.camera_id).set(status == "up")
        log.info("%s: %s%s", self._camera.camera_id, status, f": {detail}" if detail else "")
        self._report(self._camera, status, detail)
