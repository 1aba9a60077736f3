"""The topics gallery and facts, read from their beginning and followed, by a consumer without a
group.

Rule 7. A Faust GlobalTable can recover for ever with several workers.
"""

import asyncio
import gc
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processors.match.known import Known
from processors.match.overlay import Touched
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.ids import global_id
from schemas.naming import client_id
from schemas.topics import FACTS, GALLERY
from sightline.runtime import metrics
from sightline.streaming.client_config import AioKafka

log = logging.getLogger(__name__)

KNOWN_BY = client_id("match-known")
"""What it is called in place of a group."""

_WAIT_MS = 500
_IN_ONE_GO = 50

_PARTITIONS = [
    TopicPartition(topic.name, number)
    for topic in (GALLERY, FACTS)
    for number in range(topic.partitions)
]


class Follower:
    """Keeps what is known as the topics say; `changed` is told what each record touches."""

    def __init__(self, kafka: AioKafka, known: Known, changed: Callable[[Touched], None]) -> None:
        self._kafka = kafka
        self._known = known
        self._changed = changed
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        """What it reads with, once it has begun."""
        return self._consumer

    async def load(self) -> None:
        """Read all that is there now. Raises KafkaError."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.servers,
            client_id=KNOWN_BY,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=_WAIT_MS,
            **self._kafka.access,
        )
        self._consumer = consumer
        await consumer.start()
        consumer.assign(_PARTITIONS)
        # Once it fetches, the broker keeps every question waiting for records.
        consumer.pause(*_PARTITIONS)
        await consumer.seek_to_beginning(*_PARTITIONS)
        ends = await consumer.end_offsets(_PARTITIONS)
        consumer.resume(*_PARTITIONS)
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                await self._take(consumer)
        # A million people are millions of objects: looking through them all for garbage, as
        # Python does now and then, would be a pause of 0.2 s.
        gc.freeze()
        gallery = self._known.gallery
        log.info("gallery: %d people, %d templates", len(gallery), gallery.templates)

    async def follow(self) -> None:
        """Take what comes, for ever. Raises KafkaError."""
        if self._consumer is None:
            raise RuntimeError("load first")
        while True:
            await self._take(self._consumer)

    async def close(self) -> None:
        """Leave the broker."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=_WAIT_MS)
        for batch in batches.values():
            for number, record in enumerate(batch):
                self._apply(record)
                if number % _IN_ONE_GO == 0:
                    await asyncio.sleep(0)  # faces are waiting

    def _apply(self, record: ConsumerRecord) -> None:
        metrics.RECORDS.labels("match", record.topic).inc()
        try:
            if record.topic == GALLERY.name:
                touched = self._enrolled(record)
            else:
                touched = self._known.facts.put(record.key or b"", record.value)
        except InvalidMessageError as error:
            # No dead letter: the topic is read again at every start, and it stays there.
            metrics.DEAD_LETTERS.labels("match", error.reason).inc()
            log.warning("%s: record %d is left out: %s", record.topic, record.offset, error)
            return
        self._changed(touched)

    def _enrolled(self, record: ConsumerRecord) -> Touched:
        gallery = self._known.gallery
        gallery.revision = record.offset + 1
        if record.value is None:
            person_id = (record.key or b"").decode(errors="replace")
            gallery.remove(person_id)
        else:
            person = decode(pb.GalleryPerson, record.value)
            person_id = person.person_id
            gallery.put(person)
        return Touched(people=frozenset({global_id(person_id)}))
