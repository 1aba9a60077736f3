"""Publish a camera's frames and motion events to Kafka through its spool.

Frames go through the spool (`spool.py`) in order and leave it once Kafka has confirmed them.
While the broker is away frames wait there, up to `capture.buffer_bytes`; then the oldest are
dropped and counted.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from producers.delivery_reconciliation import Reconciliation, ReconciliationThread, reconcile
from producers.event_cutter import Event
from producers.frame_accounting import FrameCounts
from producers.frame_messages import announcement
from producers.settings import CaptureSettings
from producers.spool import DiskError, Kind, ReadPosition, Spool, SpooledFrame, UnconfirmedOffset
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime import tracing
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.fault_injection import FaultPoint, fault_point
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage.cameras import Camera
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import produce
from sightline.streaming.records import OutputRecord

log = logging.getLogger(__name__)

_MAX_IN_FLIGHT_BYTES: Final = 8 * topics.MIB
"""Bound of the frames that are sent and not yet confirmed."""

_PRODUCER_QUEUE_KIB: Final = 64 * 1024

_BATCH_FRAMES: Final = 16
_PURGE_SECONDS: Final = 0.5

_SILENT_SECONDS: Final = 10.0
"""Kafka counts as away if it has confirmed none of the frames in flight for this time."""

_PURGED: Final = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
"""Errors of records purged at the shutdown; the next process reconciles them with Kafka."""

_FRAME_ERRORS: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE: "too_large",
    KafkaError.INVALID_TIMESTAMP: "broker",
    KafkaError.INVALID_RECORD: "broker",
}
"""Permanent errors of one frame alone, with the reason under which it is counted as dropped."""


OnConfirmation = Callable[[KafkaError | None, int], None]
"""A callback with a record's error, if any, and its offset in Kafka."""


class Publisher:
    """Publisher of one camera, used by its thread alone."""

    def __init__(self, settings: Settings, camera: Camera) -> None:
        self._camera = camera
        self._clock = SystemClock()
        self._buffer_bytes = CaptureSettings.of(settings).buffer_bytes
        self._spool = Spool(settings.home, camera.camera_id)
        self.account = self._spool.account
        self._producer = Producer(
            producer_config(settings, f"camera-{camera.camera_id}")
            | {
                "queue.buffering.max.kbytes": _PRODUCER_QUEUE_KIB,
                "message.timeout.ms": 0,  # queued records wait, however long the broker is away
                "log_level": 3,  # errors only: a starting broker that is still busy is none
            },
            logger=LIBRDKAFKA,
        )
        # Frames that an earlier process may have sent: they are reconciled before any is sent.
        self._unconfirmed = self._spool.oldest_numbers(_MAX_IN_FLIGHT_BYTES)
        tail, unconfirmed = self._spool.unconfirmed_offset, frozenset(self._unconfirmed)
        self._reconciling = ReconciliationThread(
            lambda: reconcile(settings, camera, camera.slot, tail, unconfirmed)
        )
        self._reconciliation: Reconciliation | None = None
        # The newest frame that may be in Kafka.
        self._sent_number = max(self._unconfirmed.values(), default=0)
        # Bytes of the sent frames that are still in the spool, by number, and their sum. It is
        # bounded, or the next process would not reconcile all of them.
        self._in_flight: dict[int, int] = {}
        self._in_flight_bytes = 0
        self._announcing: set[tuple[Kind, str]] = set()
        self._has_announcements = False
        self._confirmations = _Confirmations()
        self._confirmed_at = self._clock.monotonic()
        self._disk_error = ""
        self._failure: str | None = None

    @property
    def position(self) -> ReadPosition:
        """Position up to which the camera has been read, over all processes."""
        return self._spool.position

    @property
    def cluster(self) -> str | None:
        """Id of the Kafka cluster; None until it has answered."""
        return self._reconciliation.cluster if self._reconciliation else None

    @property
    def unreachable_reason(self) -> str | None:
        """Reason why Kafka has not been reached yet; None if there is none."""
        return self._reconciling.trouble

    @property
    def is_waiting(self) -> bool:
        """True if Kafka has not answered, or has confirmed nothing for a while."""
        silence = self._clock.monotonic() - self._confirmed_at
        return self._reconciliation is None or silence > _SILENT_SECONDS

    @property
    def is_full(self) -> bool:
        """True if so many bytes wait for Kafka that a source that can wait should."""
        return self._spool.bytes >= _MAX_IN_FLIGHT_BYTES

    @property
    def is_settled(self) -> bool:
        """True if Kafka has confirmed all frames and motion events."""
        return not self._spool.bytes and not self._spool.pending_announcements()

    def end_event(self) -> None:
        """End the event that an earlier process has left open. Raises DiskError."""
        self._spool.end_event()
        self._has_announcements = True

    def move_to(self, position: ReadPosition) -> None:
        """Set the position from which the camera is read now. Raises DiskError."""
        self._spool.put([], None, FrameCounts(), position)

    def put(
        self,
        frames: Sequence[pb.Frame],
        event: Event | None,
        counts: FrameCounts,
        position: ReadPosition,
    ) -> None:
        """Store a picture's frames, event and counts in the spool; `poll` sends them.

        All of it is stored and the tally emptied, or nothing: then it raises DiskError.
        """
        fault_point(FaultPoint.BEFORE_STATE)
        self._spool.put(frames, event, counts, position)
        self._has_announcements |= event is not None

    def _make_room(self) -> None:
        while (excess_bytes := self._spool.bytes - self._in_flight_bytes - self._buffer_bytes) > 0:
            # A sent frame may be in Kafka already. The ends of events have a little more room.
            oldest = self._spool.oldest_after(
                self._sent_number, ends=excess_bytes > _MAX_IN_FLIGHT_BYTES
            )
            if oldest is None:
                return
            self._spool.drop([oldest], "broker")
            self._has_announcements = True

    def poll(self, seconds: float = 0.0) -> None:
        """Send frames and process confirmations, waiting for at most so long for one.

        Raises InfrastructureError when the producer cannot continue.
        """
        try:
            self._pump()
            self._producer.poll(seconds)
            self._store_confirmations()
            self._pump()
            self._make_room()
            self._disk_error = ""
        except DiskError as error:  # the next poll tries again
            if str(error) != self._disk_error:
                log.warning("%s", error)
            self._disk_error = str(error)
        if self._failure:
            raise InfrastructureError(f"Kafka refuses records: {self._failure}")

    def close(self, stop: Stop) -> None:
        """Deliver frames until the stop's deadline; the rest waits for the next process."""
        self._reconciling.close()
        try:
            while (
                self._reconciliation
                and not self.is_settled
                and stop.remaining_seconds() > _PURGE_SECONDS
            ):
                self.poll(0.05)
        except InfrastructureError as error:
            log.warning("%s: %s", self._camera.camera_id, error)
        finally:
            self._purge()
            self._spool.close()

    def _purge(self) -> None:
        self._producer.purge()
        self._producer.flush(_PURGE_SECONDS)
        try:
            self._store_confirmations()
        except DiskError as error:
            log.warning("%s: %s", self._camera.camera_id, error)
        if self._spool.bytes:
            log.warning("%s: %d frames wait", self._camera.camera_id, self.account.waiting)

    def _reconciled(self) -> Reconciliation | None:
        if self._reconciliation is None and (result := self._reconciling.result) is not None:
            fault_point(FaultPoint.IN_RECOVERY)
            numbers = [
                number for key, number in self._unconfirmed.items() if key in result.in_kafka
            ]
            self._spool.deliver(numbers, result.unconfirmed_offset)
            self._reconciliation, self._sent_number = result, 0
            self._has_announcements = True
        return self._reconciliation

    def _pump(self) -> None:
        reconciliation = self._reconciled()
        if reconciliation is None:
            return
        if self._has_announcements:
            self._announce()
        while (
            self._spool.has_after(self._sent_number)
            and self._in_flight_bytes < _MAX_IN_FLIGHT_BYTES
        ):
            for frame in self._spool.after(self._sent_number, _BATCH_FRAMES):
                if self._in_flight_bytes >= _MAX_IN_FLIGHT_BYTES:
                    return
                if not self._send(frame, reconciliation.unconfirmed_offset):
                    return

    def _send(self, frame: SpooledFrame, tail: UnconfirmedOffset) -> bool:
        fault_point(FaultPoint.BEFORE_PRODUCE)
        number, size = frame.number, len(frame.value)

        def confirm(error: KafkaError | None, offset: int) -> None:
            if error is None:
                self._confirmations.delivered[number] = offset
            elif (reason := _FRAME_ERRORS.get(error.code())) is not None:
                self._confirmations.rejected[number] = reason

        out = OutputRecord(
            tail.topic,
            self._camera.camera_id,
            frame.value,
            frame.captured_at_us // 1000,
            tail.partition,
            tracing.begin_trace(self._camera.camera_id, frame.captured_at_us, self._clock.now_us()),
        )
        if not self._produce(out, confirm):
            return False
        self._sent_number = number
        self._in_flight[number] = size
        self._in_flight_bytes += size
        return True

    def _produce(self, out: OutputRecord, confirm: OnConfirmation) -> bool:
        def delivered(error: KafkaError | None, message: Message) -> None:
            confirm(error, message.offset() or 0)
            if error is not None and error.code() not in _PURGED | _FRAME_ERRORS.keys():
                self._failure = error.str()

        return produce(self._producer, out, delivered)

    def _store_confirmations(self) -> None:
        """Write the confirmations to the spool, so that the next process need not ask Kafka."""
        confirmations = self._confirmations
        if confirmations.delivered or not self._in_flight:
            self._confirmed_at = self._clock.monotonic()
        if confirmations.delivered and self._reconciliation:
            fault_point(FaultPoint.BEFORE_COMMIT)
            newest = max(confirmations.delivered.values())
            self._spool.deliver(
                list(confirmations.delivered),
                self._reconciliation.unconfirmed_offset._replace(next_offset=newest + 1),
            )
            for number in confirmations.delivered:
                self._in_flight_bytes -= self._in_flight.pop(number)
            confirmations.delivered.clear()
            self._has_announcements = True
            fault_point(FaultPoint.AFTER_COMMIT)
        while confirmations.rejected:
            number, reason = next(iter(confirmations.rejected.items()))
            self._spool.drop([number], reason)
            self._in_flight_bytes -= self._in_flight.pop(number)
            del confirmations.rejected[number]
            self._has_announcements = True
        while confirmations.announced:
            kind, event_id = confirmations.announced[-1]
            self._spool.mark_published(kind, event_id)
            log.info(
                "%s: motion %s", self._camera.camera_id, pb.MotionEvent.Kind.Name(kind).lower(),
                extra={"event": event_id},
            )  # fmt: skip
            confirmations.announced.pop()
            self._announcing.discard((kind, event_id))
            self._has_announcements = True
        if not self._spool.bytes:
            self._spool.shrink()

    def _announce(self) -> None:
        for kind, event in self._spool.pending_announcements():
            key = (kind, event.event_id)
            if key in self._announcing:
                continue

            def confirm(
                error: KafkaError | None, _offset: int, key: tuple[Kind, str] = key
            ) -> None:
                if error is None:
                    self._confirmations.announced.append(key)

            if not self._produce(announcement(self._camera, kind, event), confirm):
                return
            self._announcing.add(key)
        self._has_announcements = False


@dataclass(slots=True)
class _Confirmations:
    """Kafka's answers that are not in the spool yet."""

    delivered: dict[int, int] = field(default_factory=dict)  # frame number -> offset
    rejected: dict[int, str] = field(default_factory=dict)  # frame number -> reason
    announced: list[tuple[Kind, str]] = field(default_factory=list)
