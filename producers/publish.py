"""What is to be published, into Kafka: frames, and motion events around them.

Everything goes through the camera's file (`spool.py`), in order: what Kafka has taken leaves it.
While the broker is away frames wait there, up to `capture.buffer_bytes`; then the oldest are
dropped and counted.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.events import Event
from producers.frames import announcement
from producers.ledger import Tally
from producers.settings import CaptureSettings
from producers.spool import DiskError, Kind, Position, Spool, Tail, Waiting
from producers.tail import Link, Linking, link
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime import tracing
from sightline.runtime.clock import SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.fault_injection import Place, reach
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage.cameras import Camera
from sightline.streaming.client_config import producer_config
from sightline.streaming.records import Out

log = logging.getLogger(__name__)

_ROOM: Final = 8 * topics.MIB
"""Bytes of frames on their way to the broker."""

_QUEUE_KIB: Final = 64 * 1024

_AT_ONCE: Final = 16
_PURGE_SECONDS: Final = 0.5

_SILENT_SECONDS: Final = 10.0
"""Kafka, with frames on their way to it, is away then."""

_NOT_TAKEN: Final = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
"""Said of what is given up at the end. It waits for the next life, which looks what Kafka has."""

_REFUSED: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE: "too_large",
    KafkaError.INVALID_TIMESTAMP: "broker",
    KafkaError.INVALID_RECORD: "broker",
}
"""What is wrong with one frame alone, and stays wrong."""


OnReport = Callable[[KafkaError | None, int], None]
"""Hears of a record whether Kafka has it, and at which offset."""


class Publisher:
    """One camera's way into Kafka, used by its thread alone."""

    def __init__(self, settings: Settings, camera: Camera) -> None:
        self._camera = camera
        self._clock = SystemClock()
        self._buffer_bytes = CaptureSettings.of(settings).buffer_bytes
        self._spool = Spool(settings.home, camera.camera_id)
        self.account = self._spool.account
        self._producer = Producer(
            producer_config(settings, f"camera-{camera.camera_id}")
            | {
                "queue.buffering.max.kbytes": _QUEUE_KIB,
                "message.timeout.ms": 0,  # what is queued stays so, however long the broker is away
                "log_level": 3,  # errors; that a starting broker is still busy is none
            },
            logger=LIBRDKAFKA,
        )
        # What a former life may have sent; nothing else before it is known what Kafka has of it.
        self._asked = self._spool.first(_ROOM)
        tail, asked = self._spool.tail, frozenset(self._asked)
        self._linking = Linking(lambda: link(settings, camera, camera.slot, tail, asked))
        self._link: Link | None = None
        self._offered = max(self._asked.values(), default=0)  # what may be in Kafka
        # Frames that have been offered and are still in the file, with their bytes, and the sum.
        # No more than there is room for, or the next life would not ask about all of them.
        self._in_flight: dict[int, int] = {}
        self._flying = 0
        self._saying: set[tuple[Kind, str]] = set()
        self._is_news = False  # of events
        self._heard = _Heard()
        self._heard_at = self._clock.monotonic()
        self._disk_trouble = ""
        self._failure: str | None = None

    @property
    def position(self) -> Position:
        """How far the camera has been read, over all lives."""
        return self._spool.position

    @property
    def cluster(self) -> str | None:
        """Which Kafka it is; None until it has answered."""
        return self._link.cluster if self._link else None

    @property
    def trouble(self) -> str | None:
        """Why Kafka has not been reached yet."""
        return self._linking.trouble

    @property
    def is_waiting(self) -> bool:
        """Whether Kafka is away, as far as known."""
        silent = self._clock.monotonic() - self._heard_at
        return self._link is None or silent > _SILENT_SECONDS

    @property
    def is_full(self) -> bool:
        """So much waits for Kafka that who can wait should."""
        return self._spool.bytes >= _ROOM

    @property
    def is_settled(self) -> bool:
        """All that was published has been delivered."""
        return not self._spool.bytes and not self._spool.unsaid()

    def end_event(self) -> None:
        """End the event that a former life has left open. Raises DiskError."""
        self._spool.end_event()
        self._is_news = True

    def move(self, position: Position) -> None:
        """The camera is read from somewhere else now. Raises DiskError."""
        self._spool.put([], None, Tally(), position)

    def put(
        self, frames: Sequence[pb.Frame], event: Event | None, tally: Tally, position: Position
    ) -> None:
        """Take in what has come of a picture; its frames will be in Kafka sooner or later.

        All of it or nothing: then it raises DiskError. The tally is emptied.
        """
        reach(Place.BEFORE_STATE)
        self._spool.put(frames, event, tally, position)
        self._is_news |= event is not None

    def _make_room(self) -> None:
        while (over := self._spool.bytes - self._flying - self._buffer_bytes) > 0:
            # What has been offered may be in Kafka already. There is a little more room for the
            # ends of events.
            oldest = self._spool.oldest_after(self._offered, ends=over > _ROOM)
            if oldest is None:
                return
            self._spool.drop([oldest], "broker")
            self._is_news = True

    def poll(self, seconds: float = 0.0) -> None:
        """Send what there is room for and hear what has been delivered, waiting for at most so
        long. Raises InfrastructureError when the producer can go on no more."""
        try:
            self._pump()
            self._producer.poll(seconds)
            self._write_down()
            self._pump()
            self._make_room()
            self._disk_trouble = ""
        except DiskError as error:  # all of it is tried again
            if str(error) != self._disk_trouble:
                log.warning("%s", error)
            self._disk_trouble = str(error)
        if self._failure:
            raise InfrastructureError(f"Kafka refuses records: {self._failure}")

    def close(self, stop: Stop) -> None:
        """Deliver what waits before the stop's deadline; the rest waits for the next life."""
        self._linking.close()
        try:
            while self._link and not self.is_settled and stop.remaining() > _PURGE_SECONDS:
                self.poll(0.05)
        except InfrastructureError as error:
            log.warning("%s: %s", self._camera.camera_id, error)
        finally:
            self._give_up()
            self._spool.close()

    def _give_up(self) -> None:
        self._producer.purge()
        self._producer.flush(_PURGE_SECONDS)
        try:
            self._write_down()
        except DiskError as error:
            log.warning("%s: %s", self._camera.camera_id, error)
        if self._spool.bytes:
            log.warning("%s: %d frames wait", self._camera.camera_id, self.account.waiting)

    def _linked(self) -> Link | None:
        if self._link is None and (found := self._linking.result()) is not None:
            reach(Place.IN_RECOVERY)
            taken = [number for mark, number in self._asked.items() if mark in found.taken]
            self._spool.deliver(taken, found.tail)
            self._link, self._offered, self._is_news = found, 0, True
        return self._link

    def _pump(self) -> None:
        linked = self._linked()
        if linked is None:
            return
        if self._is_news:
            self._say()
        while self._spool.has_after(self._offered) and self._flying < _ROOM:
            for waiting in self._spool.after(self._offered, _AT_ONCE):
                if self._flying >= _ROOM or not self._send(waiting, linked.tail):
                    return

    def _send(self, waiting: Waiting, tail: Tail) -> bool:
        reach(Place.BEFORE_PRODUCE)
        number, size = waiting.number, len(waiting.value)

        def report(error: KafkaError | None, offset: int) -> None:
            if error is None:
                self._heard.delivered[number] = offset
            elif (reason := _REFUSED.get(error.code())) is not None:
                self._heard.refused[number] = reason

        out = Out(
            tail.topic,
            self._camera.camera_id,
            waiting.value,
            waiting.captured_at_us // 1000,
            tail.partition,
            tracing.captured(self._camera.camera_id, waiting.captured_at_us, self._clock.now_us()),
        )
        if not self._produce(out, report):
            return False
        self._offered = number
        self._in_flight[number] = size
        self._flying += size
        return True

    def _produce(self, out: Out, report: OnReport) -> bool:
        def delivered(error: KafkaError | None, message: Message) -> None:
            report(error, message.offset() or 0)
            if error is not None and error.code() not in _NOT_TAKEN | _REFUSED.keys():
                self._failure = error.str()

        try:
            self._producer.produce(
                out.topic,
                value=out.value,
                key=out.key.encode(),
                partition=-1 if out.partition is None else out.partition,
                timestamp=out.timestamp_ms,
                headers=list(out.headers),
                on_delivery=delivered,
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise InfrastructureError(f"Kafka takes no records: {error}") from error
        return True

    def _write_down(self) -> None:
        """What was heard, into the camera's file; before that it would be asked for again."""
        heard = self._heard
        if heard.delivered or not self._in_flight:
            self._heard_at = self._clock.monotonic()
        if heard.delivered and self._link:
            reach(Place.BEFORE_COMMIT)
            newest = max(heard.delivered.values())
            self._spool.deliver(
                list(heard.delivered), self._link.tail._replace(next_offset=newest + 1)
            )
            for number in heard.delivered:
                self._flying -= self._in_flight.pop(number)
            heard.delivered.clear()
            self._is_news = True
            reach(Place.AFTER_COMMIT)
        while heard.refused:
            number, reason = next(iter(heard.refused.items()))
            self._spool.drop([number], reason)
            self._flying -= self._in_flight.pop(number)
            del heard.refused[number]
            self._is_news = True
        while heard.said:
            kind, event_id = heard.said[-1]
            self._spool.said(kind, event_id)
            log.info(
                "%s: motion %s", self._camera.camera_id, pb.MotionEvent.Kind.Name(kind).lower(),
                extra={"event": event_id},
            )  # fmt: skip
            heard.said.pop()
            self._saying.discard((kind, event_id))
            self._is_news = True
        if not self._spool.bytes:
            self._spool.give_back()

    def _say(self) -> None:
        for kind, event in self._spool.unsaid():
            said = (kind, event.event_id)
            if said in self._saying:
                continue

            def report(
                error: KafkaError | None, _offset: int, said: tuple[Kind, str] = said
            ) -> None:
                if error is None:
                    self._heard.said.append(said)

            if not self._produce(announcement(self._camera, kind, event), report):
                return
            self._saying.add(said)
        self._is_news = False


@dataclass(slots=True)
class _Heard:
    """What Kafka has said and is not in the camera's file yet."""

    delivered: dict[int, int] = field(default_factory=dict)  # frame -> offset
    refused: dict[int, str] = field(default_factory=dict)  # frame -> reason
    said: list[tuple[Kind, str]] = field(default_factory=list)
