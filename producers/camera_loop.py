"""Read one camera: connect, publish motion events, reconnect with a growing pause.

A film is resumed where an earlier process stopped: it is read again from its start, and pictures
that were published before are skipped. A live camera, and a film that is played in a loop, cannot
be resumed: an event that an earlier process left open is ended first.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from typing import Final

from producers.camera_metrics import CameraMetrics
from producers.event_cutter import Event, EventCutter, EventFrame, StillRules
from producers.file_source import ResumePoint
from producers.frame_accounting import FrameCounts
from producers.frame_messages import FrameEncoder
from producers.motion_detection import MotionDetector
from producers.publisher import Publisher
from producers.settings import CaptureSettings
from producers.source_interface import Source, SourceLostError
from producers.sources import is_live, open_source
from producers.spool import DiskError, ReadPosition
from schemas import sightline_pb2 as pb
from sightline.runtime import metrics
from sightline.runtime.clock import US_PER_SECOND, Clock
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings.groups import SecretsSettings
from sightline.storage.cameras import Camera, CameraStatus

log = logging.getLogger(__name__)

ReportStatus = Callable[[Camera, CameraStatus, str | None], None]

_LONGEST_PAUSE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


def pause_before(attempt: int) -> float:
    """Seconds to wait before a lost camera is opened again: 1, 2, 4, 8, 16, 30, 30, ..."""
    return min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(attempt, 10))


def _close(opening: "Future[Source]") -> None:
    """Close a source that nobody waits for any more."""
    if opening.exception() is None:
        opening.result().close()


def _still_rules(settings: CaptureSettings) -> StillRules:
    return StillRules(
        settings.still_fps,
        round(settings.still_seconds * US_PER_SECOND),
        round(settings.event_seconds * US_PER_SECOND),
    )


class CameraLoop:
    """A loop that reads one camera until its stop is requested or its film has ended.

    `stop` ends this camera alone, `service_stop` all cameras: a film is then resumed by the next
    process.
    """

    def __init__(
        self,
        camera: Camera,
        publisher: Publisher,
        report: ReportStatus,
        stop: Stop,
        service_stop: Stop,
        clock: Clock,
        secrets: SecretsSettings,
        capture: CaptureSettings,
    ) -> None:
        self._camera = camera
        self._secrets = secrets
        self._rules = _still_rules(capture)
        self._detector: MotionDetector | None = None  # of a live camera's last connection
        self._publisher = publisher
        self._report = report
        self._stop = stop
        self._service_stop = service_stop
        self._clock = clock
        self._metrics = CameraMetrics(camera.camera_id, clock)
        self._encoder = FrameEncoder(camera)
        self._warning: str | None = None  # of the encoder, as reported
        self._attempt = 0
        self._tally = FrameCounts()
        self._is_disk_full = False  # True once the warning has been logged
        self._is_live = is_live(camera.uri.get_secret_value())
        self._is_resumable = not self._is_live and not camera.settings.loop

    def run(self) -> None:
        """Read until the end. Raises InfrastructureError when Kafka or the disk fails for good."""
        try:
            self._restore_position()
            while not self._stop.is_set():
                try:
                    self._connect_and_read()
                except EOFError:
                    if self._deliver_all():
                        self._report_status("ended", None)
                        return
                except SourceLostError as error:
                    self._report_status("down", str(error))
                    self._pause(pause_before(self._attempt))
                    self._attempt += 1
                    if not self._stop.is_set():
                        self._metrics.count_reconnect()
            self._report_status("down", "not being read: the service has stopped")
        finally:
            self._stop.request()  # the shutdown deadline starts, whatever ended the loop
            self._publisher.close(self._stop)

    def _restore_position(self) -> None:
        """Restore an earlier process's position; end its open event unless it is resumed."""
        if not self._is_live:
            self._wait_for_kafka()
            if self._stop.is_set():
                return
        stored = self._publisher.position
        generation = self._camera.settings.generation
        cluster = None if self._is_live else self._publisher.cluster
        is_same_film = (stored.generation, stored.cluster) == (generation, cluster)
        if is_same_film and self._is_resumable:
            return
        self._publisher.end_event()
        position = ReadPosition(generation, cluster)
        if self._is_live or (is_same_film and self._camera.settings.start_time is None):
            position = replace(position, sequence=self._publisher.position.sequence)
        elif is_same_film:
            position = self._publisher.position
        self._publisher.move_to(position)

    def _wait_for_kafka(self) -> None:
        """Wait for Kafka: a film is resumed only on the cluster that has its earlier frames."""
        trouble = None
        while self._publisher.cluster is None and not self._stop.is_set():
            self._poll(_POLL_SECONDS)
            if self._publisher.unreachable_reason != trouble:
                trouble = self._publisher.unreachable_reason
                self._report_status("down", trouble)

    def _open(self, position: ReadPosition) -> Source | None:
        """Open the source; return None if the stop is requested meanwhile.

        A slow camera takes up to a minute, so a thread of its own waits for it.
        """
        opening: Future[Source] = Future()

        def run() -> None:
            try:
                source = open_source(
                    self._camera.uri.get_secret_value(),
                    self._camera.settings,
                    self._clock,
                    self._stop.wait,
                    ResumePoint(position.start_us, position.pictures),
                    self._secrets,
                )
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                opening.set_exception(error)
            else:
                opening.set_result(source)

        threading.Thread(target=run, name="open", daemon=True).start()
        while not self._stop.is_set():
            self._poll()
            if wait([opening], _POLL_SECONDS).done:
                return opening.result()
        opening.add_done_callback(_close)
        return None

    def _connect_and_read(self) -> None:
        position = self._publisher.position
        source = self._open(position)
        if source is None:
            return
        cutter = EventCutter(
            self._camera.camera_id,
            self._camera.settings,
            self._tally,
            0 if self._is_resumable else position.sequence,
            self._rules,
            self._detector,
        )
        if self._is_live:
            self._detector = cutter.detector
        try:
            self._read(source, cutter)
        except (SourceLostError, EOFError):
            self._finish(source, cutter)
            raise
        else:
            if not (self._is_resumable and self._service_stop.is_set()):
                self._finish(source, cutter)
        finally:
            source.close()

    def _read(self, source: Source, cutter: EventCutter) -> None:
        published = self._publisher.position.pictures if self._is_resumable else 0
        pictures_read = 0
        is_up = False
        while not self._stop.is_set():
            self._poll()
            picture = source.read()
            self._metrics.count_pictures(0 if picture is None else 1 + picture.skipped)
            if picture is None:
                continue
            if not is_up:
                is_up, self._attempt = True, 0
                self._report_status("up", self._warning)
            if picture.time_restarts:
                self._restart_time(source, cutter)
            with metrics.STAGE_SECONDS.labels("motion").time():
                event_frames = cutter.process(picture)
            pictures_read += 1
            if pictures_read <= published:
                self._tally.clear()  # an earlier process has published it
            else:
                self._publish(event_frames, source, cutter, pictures=1)

    def _restart_time(self, source: Source, cutter: EventCutter) -> None:
        """End the open event by the old time; the next picture opens one by the new time."""
        if source.is_live:
            log.warning(
                "%s: this machine's clock was set: the motion event ends and another one begins",
                self._camera.camera_id,
            )
        self._finish(source, cutter)
        cutter.restart_time()

    def _finish(self, source: Source, cutter: EventCutter) -> None:
        """End the open event, unless an earlier process has published that."""
        is_published = cutter.sequence < self._publisher.position.sequence
        event_frames = cutter.finish()
        if is_published:
            self._tally.clear()
        else:
            self._publish(event_frames, source, cutter, pictures=0)

    def _publish(
        self, event_frames: list[EventFrame], source: Source, cutter: EventCutter, *, pictures: int
    ) -> None:
        stored = self._publisher.position
        position = replace(
            stored,
            start_us=source.start_us,
            pictures=stored.pictures + pictures,
            sequence=cutter.sequence,
            held=cutter.pending_pictures,
        )
        frames = self._encoder.encode(event_frames, self._tally, live=source.is_live)
        if event_frames and self._encoder.warning != self._warning:
            self._warning = self._encoder.warning
            self._report_status("up", self._warning)
        event = event_frames[-1].event if event_frames else None
        # A film waits for the broker and for the disk; a live camera's frames are dropped.
        may_wait = not source.is_live
        while may_wait and event_frames and self._publisher.is_full and not self._stop.is_set():
            self._poll(_POLL_SECONDS)
        while not self._put(frames, event, position, may_wait=may_wait and not self._stop.is_set()):
            self._poll(_POLL_SECONDS)

    def _put(
        self, frames: list[pb.Frame], event: Event | None, position: ReadPosition, *, may_wait: bool
    ) -> bool:
        """Store the frames; return False if the disk is full and the caller is to retry."""
        try:
            self._publisher.put(frames, event, self._tally, position)
        except DiskError as error:
            if may_wait:
                return False
            if self._is_resumable and self._service_stop.is_set():
                return True  # the next process reads it again
            if not self._is_disk_full:
                log.warning("%s: frames are dropped", error)
            self._is_disk_full = True
            self._tally.drop("disk_full", len(frames))
            with suppress(DiskError):  # the next picture carries the count
                self._publisher.put([], event, self._tally, position)
        else:
            self._is_disk_full &= not frames
        return True

    def _deliver_all(self) -> bool:
        while not self._publisher.is_settled and not self._stop.is_set():
            self._poll(_POLL_SECONDS)
        return self._publisher.is_settled

    def _pause(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        while not self._stop.is_set() and (seconds_left := deadline - self._clock.monotonic()) > 0:
            self._poll()
            self._stop.wait(min(seconds_left, _POLL_SECONDS))

    def _poll(self, seconds: float = 0.0) -> None:
        self._stop.beat()
        self._publisher.poll(seconds)

    def _report_status(self, status: CameraStatus, detail: str | None) -> None:
        self._metrics.set_up(status == "up")
        log.info("%s: %s%s", self._camera.camera_id, status, f": {detail}" if detail else "")
        self._report(self._camera, status, detail)
