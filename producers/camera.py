"""The life of one camera: reach it, read it, publish what moves, reach it again.

A film goes on where a former life has left it: it is read again from its start, and nothing is
told of the pictures that have been told of. Of a camera that does not wait, and of a film that is
played over and over, an event that was left open is ended first.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from producers.events import Event, EventCutter, Shot
from producers.frames import frames_of
from producers.gauges import CameraGauges
from producers.ledger import Tally
from producers.pictures import Source, SourceLostError
from producers.publish import Publisher
from producers.reels import ReadBefore
from producers.sources import is_live, open_source
from producers.spool import DiskError, Position
from schemas import sightline_pb2 as pb
from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.runtime.lifecycle import Stop
from sightline.storage.cameras import Camera, CameraStatus

log = logging.getLogger(__name__)

Report = Callable[[Camera, CameraStatus, str | None], None]

_LONGEST_PAUSE: Final = 30.0
_POLL_SECONDS: Final = 0.1


def pause_before(attempt: int) -> float:
    """Seconds before a lost camera is tried again: 1, 2, 4, 8, 16, 30, 30, ..."""
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt, 10))


class CameraLoop:
    """Reads one camera until it is told to stop, or until its film has ended.

    `stop` ends this camera, `service_stop` all of them: then a film will go on some time.
    """

    def __init__(
        self,
        camera: Camera,
        publisher: Publisher,
        report: Report,
        stop: Stop,
        service_stop: Stop,
        clock: Clock,
    ) -> None:
        self._camera = camera
        self._publisher = publisher
        self._report = report
        self._stop = stop
        self._service_stop = service_stop
        self._clock = clock
        self._gauges = CameraGauges(camera.camera_id, clock)
        self._attempt = 0
        self._tally = Tally()
        self._is_disk_full = False  # and it has been said
        self._is_live = is_live(camera.uri.get_secret_value())
        self._goes_on = not self._is_live and not camera.settings.loop

    def run(self) -> None:
        """Work; raises InfrastructureError when Kafka or the disk do not go on."""
        try:
            self._begin()
            while not self._stop:
                try:
                    self._connect_and_read()
                except EOFError:
                    if self._deliver_all():
                        self._say("ended", None)
                        return
                except SourceLostError as error:
                    self._say("down", str(error))
                    self._pause(pause_before(self._attempt))
                    self._attempt += 1
                    if not self._stop:
                        self._gauges.reconnects()
            self._say("down", "not being read: the service has stopped")
        finally:
            self._stop.request()  # over, for whatever reason: from now on the deadline counts
            self._publisher.close(self._stop)

    def _begin(self) -> None:
        """Find out where a former life has left off, and end what does not go on."""
        if not self._is_live:
            self._reach_kafka()
            if self._stop:
                return
        before = self._publisher.position
        generation = self._camera.settings.generation
        cluster = None if self._is_live else self._publisher.cluster
        same = (before.generation, before.cluster) == (generation, cluster)
        if same and self._goes_on:
            return
        self._publisher.end_event()
        now = Position(generation, cluster)
        if self._is_live or (same and self._camera.settings.start_time is None):
            now = replace(now, sequence=self._publisher.position.sequence)
        elif same:
            now = self._publisher.position
        self._publisher.move(now)

    def _reach_kafka(self) -> None:
        """Wait for Kafka: where a film goes on depends on whether it is the one that it knew."""
        trouble = None
        while self._publisher.cluster is None and not self._stop:
            self._poll(_POLL_SECONDS)
            if self._publisher.trouble != trouble:
                trouble = self._publisher.trouble
                self._say("down", trouble)

    def _connect_and_read(self) -> None:
        before = self._publisher.position
        source = open_source(
            self._camera.uri.get_secret_value(),
            self._camera.settings,
            self._clock,
            self._stop.wait,
            ReadBefore(before.start_us, before.pictures),
        )
        cutter = EventCutter(
            self._camera.camera_id,
            self._camera.settings,
            self._tally,
            0 if self._goes_on else before.sequence,
        )
        try:
            self._read(source, cutter)
        except (SourceLostError, EOFError):
            self._finish(source, cutter)
            raise
        else:
            if not (self._goes_on and self._service_stop):
                self._finish(source, cutter)
        finally:
            source.close()

    def _read(self, source: Source, cutter: EventCutter) -> None:
        known = self._publisher.position.pictures if self._goes_on else 0
        read = 0
        is_up = False
        while not self._stop:
            self._poll()
            picture = source.read()
            self._gauges.looked(0 if picture is None else 1 + picture.skipped)
            if picture is None:
                continue
            if not is_up:
                is_up, self._attempt = True, 0
                self._say("up", None)
            if picture.clock_set:
                self._restart_time(source, cutter)
            with metrics.STAGE_SECONDS.labels("motion").time():
                shots = cutter.take(picture)
            read += 1
            if read <= known:
                self._tally.clear()  # told of in a former life
            else:
                self._publish(shots, source, cutter, pictures=1)

    def _restart_time(self, source: Source, cutter: EventCutter) -> None:
        """End the open event by the old time; the next picture opens one by the new time."""
        log.warning(
            "%s: this machine's clock was set: the motion event ends and another one begins",
            self._camera.camera_id,
        )
        self._finish(source, cutter)
        cutter.restart_time()

    def _finish(self, source: Source, cutter: EventCutter) -> None:
        if cutter.sequence >= self._publisher.position.sequence:  # else it has not got there again
            self._publish(cutter.finish(), source, cutter, pictures=0)

    def _publish(
        self, shots: list[Shot], source: Source, cutter: EventCutter, *, pictures: int
    ) -> None:
        before = self._publisher.position
        position = replace(
            before,
            start_us=source.start_us,
            pictures=before.pictures + pictures,
            sequence=cutter.sequence,
            held=cutter.held,
        )
        frames = frames_of(self._camera, shots, self._tally, live=source.is_live)
        event = shots[-1].event if shots else None
        # A film waits for the broker and for the disk; a live camera's frames are dropped.
        waits = not source.is_live
        while waits and shots and self._publisher.is_full and not self._stop:
            self._poll(_POLL_SECONDS)
        while not self._put(frames, event, position, may_wait=waits and not self._stop):
            self._poll(_POLL_SECONDS)

    def _put(
        self, frames: list[pb.Frame], event: Event | None, position: Position, *, may_wait: bool
    ) -> bool:
        """Whether nothing more is to be done about it."""
        try:
            self._publisher.put(frames, event, self._tally, position)
        except DiskError as error:
            if may_wait:
                return False
            if self._goes_on and self._service_stop:
                return True  # it will be read again
            if not self._is_disk_full:
                log.warning("%s: frames are dropped", error)
            self._is_disk_full = True
            self._tally.drop("disk_full", len(frames))
            with suppress(DiskError):  # the count comes with the next picture
                self._publisher.put([], event, self._tally, position)
        else:
            self._is_disk_full &= not frames
        return True

    def _deliver_all(self) -> bool:
        while not self._publisher.is_settled and not self._stop:
            self._poll(_POLL_SECONDS)
        return self._publisher.is_settled

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stop and (left := until - self._clock.monotonic()) > 0:
            self._poll()
            self._stop.wait(min(left, _POLL_SECONDS))

    def _poll(self, seconds: float = 0.0) -> None:
        self._stop.beat()
        self._publisher.poll(seconds)

    def _say(self, status: CameraStatus, detail: str | None) -> None:
        self._gauges.is_up(status == "up")
        log.info("%s: %s%s", self._camera.camera_id, status, f": {detail}" if detail else "")
        self._report(self._camera, status, detail)
