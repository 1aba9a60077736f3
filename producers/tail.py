"""What Kafka has of a camera, asked before its first frame is sent.

A producer that was killed may not have heard that its last frames were taken, and its successor's
idempotence knows nothing of them. So the end of the camera's partition is read. A frame that the
leader has written and that is not replicated yet is not readable, and would come after it was
looked for: where one is missed, a record is put behind all of them in a transaction that is then
aborted. Once Kafka has that, it shows everything that is before it; nobody reads the record.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from producers.spool import Mark, Tail
from schemas import sightline_pb2 as pb
from schemas import topics
from sightline.runtime.errors import InfrastructureError, InvalidRecord
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage.cameras import NewCamera
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.messages import to_record

log = logging.getLogger(__name__)

_ANSWER_SECONDS: Final = 10.0
_READ_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Link:
    """Kafka as a camera finds it."""

    cluster: str
    tail: Tail  # where the camera's frames go, from which offset on
    taken: frozenset[Mark]  # of those that were asked about, the ones that Kafka has


class Linking:
    """Asks Kafka in a thread of its own, until it answers: a camera is read meanwhile."""

    def __init__(self, ask: Callable[[], Link]) -> None:
        self.trouble: str | None = None  # why there is no answer yet
        self._ask = ask
        self._found: Link | None = None
        self._is_over = threading.Event()
        threading.Thread(target=self._run, name="link", daemon=True).start()

    def result(self) -> Link | None:
        """The answer, once it is there."""
        return self._found

    def close(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self._found = self._ask()
            except InfrastructureError as error:
                self.trouble = str(error)
                self._is_over.wait(_AGAIN_SECONDS)
            else:
                return


def link(
    settings: Settings, camera: NewCamera, slot: int, tail: Tail | None, asked: frozenset[Mark]
) -> Link:
    """Where a camera's frames go, and which of these Kafka has behind `tail`.

    Raises InfrastructureError when it cannot be found out.
    """
    name = f"camera-{camera.camera_id}"
    consumer = Consumer(
        consumer_config(settings, name, f"sightline-{name}") | {"enable.partition.eof": True},
        logger=LIBRDKAFKA,
    )
    try:
        topic = topics.frames(camera.fleet).name
        partitions = _partitions(consumer, topic)
        if not partitions:
            raise InfrastructureError(f"no topic {topic}: run `sightline topics apply`")
        partition = slot % partitions
        taken: frozenset[Mark] = frozenset()
        if asked and tail is not None and tail.partition < _partitions(consumer, tail.topic):
            taken = _Reader(settings, consumer, camera.camera_id, tail).taken(asked)
        _low, high = consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=_ANSWER_SECONDS
        )
        cluster = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).cluster_id
        return Link(str(cluster), Tail(topic, partition, high), taken)
    except KafkaException as error:
        raise InfrastructureError(f"Kafka does not answer: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> int:
    found = consumer.list_topics(topic, timeout=_ANSWER_SECONDS)
    return len(found.topics[topic].partitions)


class _Reader:
    """Reads the end of one partition for one camera."""

    def __init__(self, settings: Settings, consumer: Consumer, camera_id: str, tail: Tail) -> None:
        self._settings = settings
        self._consumer = consumer
        self._camera_id = camera_id
        self._tail = tail
        self._found: set[Mark] = set()
        self._until = time.monotonic() + _READ_SECONDS

    def taken(self, asked: Collection[Mark]) -> frozenset[Mark]:
        """Those of the asked that are there."""
        self._consumer.assign([TopicPartition(*self._tail)])
        self._read(asked, behind=0)
        if not self._found.issuperset(asked):
            self._read(asked, behind=self._sound())
        return frozenset(self._found.intersection(asked))

    def _read(self, asked: Collection[Mark], behind: int) -> None:
        """Read to the end, which must be behind an offset, or until all are found."""
        while not self._found.issuperset(asked):
            if time.monotonic() > self._until:
                raise InfrastructureError(f"Kafka does not give {self._tail.topic} to its end")
            message = self._consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self._take(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                if (message.offset() or 0) > behind or not behind:
                    return
            elif not error.retriable():
                raise InfrastructureError(f"Kafka: {error.str()}")

    def _take(self, message: Message) -> None:
        record = to_record(message)
        if record.key == self._camera_id.encode():
            try:
                frame = record.decode(pb.Frame)
            except InvalidRecord:
                return  # somebody else's
            self._found.add(Mark(frame.sequence, frame.captured_at_us))

    def _sound(self) -> int:
        """Put a record that nobody will read behind everything; its offset."""
        name = f"sightline-camera-{self._camera_id}"
        producer = Producer(producer_config(self._settings, name, name), logger=LIBRDKAFKA)
        landed: list[tuple[KafkaError | None, int]] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            landed.append((error, message.offset() or 0))

        producer.init_transactions(_ANSWER_SECONDS)
        producer.begin_transaction()
        producer.produce(
            self._tail.topic,
            value=b"",
            key=self._camera_id.encode(),
            partition=self._tail.partition,
            on_delivery=delivered,
        )
        producer.flush(_ANSWER_SECONDS)
        producer.abort_transaction(_ANSWER_SECONDS)
        if not landed or landed[0][0] is not None:
            raise InfrastructureError("Kafka has not taken a record within 10 s")
        return landed[0][1]
