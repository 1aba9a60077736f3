"""Reconcile a camera's spool with Kafka before its first frame is sent.

A producer that was killed may have missed the confirmation of its last frames, and a new
producer's idempotence does not cover them. So the end of the camera's partition is read. A frame
that the leader has written but that is not replicated yet is not readable, and could appear after
the read: if a frame is missing, a record is written behind all of them in a transaction that is
then aborted. Once Kafka has that record, every record before it is readable; consumers skip it.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from producers.spool import FrameKey, UnconfirmedOffset
from schemas import sightline_pb2 as pb
from schemas import topics
from schemas.naming import camera_group
from sightline.runtime.errors import InfrastructureError, PoisonRecord
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage.cameras import NewCamera
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.errors import translate
from sightline.streaming.messages import to_record

log = logging.getLogger(__name__)

_REQUEST_TIMEOUT_SECONDS: Final = 10.0
_READ_TIMEOUT_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The destination of a camera's frames, and the frames that it has already."""

    cluster: str
    unconfirmed_offset: UnconfirmedOffset  # partition of the camera's frames and its next offset
    in_kafka: frozenset[FrameKey]  # the unconfirmed frames that Kafka has


class ReconciliationThread:
    """A thread that repeats the reconciliation until Kafka answers, beside the camera's thread."""

    def __init__(self, attempt: Callable[[], Reconciliation]) -> None:
        self.trouble: str | None = None  # why there is no result yet
        self._attempt = attempt
        self.result: Reconciliation | None = None  # None before Kafka has answered
        self._is_closed = threading.Event()
        threading.Thread(target=self._run, name="reconcile", daemon=True).start()

    def close(self) -> None:
        """Stop asking."""
        self._is_closed.set()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            try:
                self.result = self._attempt()
            except InfrastructureError as error:
                self.trouble = str(error)
                self._is_closed.wait(_RETRY_SECONDS)
            else:
                return


def reconcile(
    settings: Settings,
    camera: NewCamera,
    slot: int,
    unconfirmed_offset: UnconfirmedOffset | None,
    unconfirmed: frozenset[FrameKey],
) -> Reconciliation:
    """Look up the partition of a camera's frames, and which frames Kafka has from an offset on.

    Raises InfrastructureError when Kafka does not answer.
    """
    name = f"camera-{camera.camera_id}"
    consumer = Consumer(
        consumer_config(settings, name, camera_group(camera.camera_id))
        | {"enable.partition.eof": True},
        logger=LIBRDKAFKA,
    )
    try:
        topic = topics.frames(camera.fleet).name
        partitions = _partitions(consumer, topic)
        if not partitions:
            raise InfrastructureError(f"no topic {topic}: run `sightline topics apply`")
        partition = slot % partitions
        in_kafka: frozenset[FrameKey] = frozenset()
        if (
            unconfirmed
            and unconfirmed_offset is not None
            and unconfirmed_offset.partition < _partitions(consumer, unconfirmed_offset.topic)
        ):
            in_kafka = _TailReader(settings, consumer, camera.camera_id, unconfirmed_offset).find(
                unconfirmed
            )
        _low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=_REQUEST_TIMEOUT_SECONDS
        )
        cluster = consumer.list_topics(topic, timeout=_REQUEST_TIMEOUT_SECONDS).cluster_id
        return Reconciliation(str(cluster), UnconfirmedOffset(topic, partition, high), in_kafka)
    except KafkaException as error:
        raise translate(error, "Kafka does not answer") from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> int:
    metadata = consumer.list_topics(topic, timeout=_REQUEST_TIMEOUT_SECONDS)
    return len(metadata.topics[topic].partitions)


class _TailReader:
    """A reader of one partition's end for one camera."""

    def __init__(
        self, settings: Settings, consumer: Consumer, camera_id: str, tail: UnconfirmedOffset
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._camera_id = camera_id
        self._tail = tail
        self._keys_in_kafka: set[FrameKey] = set()
        self._deadline = time.monotonic() + _READ_TIMEOUT_SECONDS

    def find(self, unconfirmed: Collection[FrameKey]) -> frozenset[FrameKey]:
        """Return the unconfirmed frames that are in Kafka."""
        self._consumer.assign([TopicPartition(*self._tail)])
        self._read(unconfirmed, behind=0)
        if not self._keys_in_kafka.issuperset(unconfirmed):
            self._read(unconfirmed, behind=self._write_aborted_record())
        return frozenset(self._keys_in_kafka.intersection(unconfirmed))

    def _read(self, unconfirmed: Collection[FrameKey], behind: int) -> None:
        """Read until all frames are found, or to the end, which must be after offset `behind`."""
        while not self._keys_in_kafka.issuperset(unconfirmed):
            if time.monotonic() > self._deadline:
                raise InfrastructureError(f"Kafka does not give {self._tail.topic} to its end")
            message = self._consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._add_frame(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                if (message.offset() or 0) > behind or not behind:
                    return
            elif not error.retriable():
                raise InfrastructureError(f"Kafka: {error.str()}")

    def _add_frame(self, message: Message) -> None:
        record = to_record(message)
        if record.key == self._camera_id.encode():
            try:
                frame = record.decode(pb.Frame)
            except PoisonRecord:
                return  # not a frame of this camera
            self._keys_in_kafka.add(FrameKey(frame.sequence, frame.captured_at_us))

    def _write_aborted_record(self) -> int:
        """Write a record in an aborted transaction; return its offset."""
        name = camera_group(self._camera_id)
        producer = Producer(producer_config(self._settings, name, name), logger=LIBRDKAFKA)
        deliveries: list[tuple[KafkaError | None, int]] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            deliveries.append((error, message.offset() or 0))

        producer.init_transactions(_REQUEST_TIMEOUT_SECONDS)
        producer.begin_transaction()
        producer.produce(
            self._tail.topic,
            value=b"",
            key=self._camera_id.encode(),
            partition=self._tail.partition,
            on_delivery=delivered,
        )
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)
        if not deliveries or deliveries[0][0] is not None:
            raise InfrastructureError("Kafka has not taken a record within 10 s")
        return deliveries[0][1]
