"""Follower of the reference topics `gallery` and `facts`: read from the beginning, then followed.

Rule 7. A Faust GlobalTable can recover for ever with several workers. A consumer without a group
reads both topics instead.
"""

import asyncio
import gc
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processors.match.index.gallery import GalleryIndex
from processors.match.reference.identity_corrections import AffectedIdentities
from processors.match.reference.reference_data import ReferenceData
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.ids import global_id
from schemas.naming import client_id
from schemas.topics import FACTS, GALLERY
from sightline.runtime import metrics
from sightline.streaming.client_config import AioKafka

log = logging.getLogger(__name__)

REFERENCE_CLIENT = client_id("match-known")
"""Client id of the consumer, which has no group."""

_FETCH_WAIT_MS = 500
_RECORDS_BETWEEN_YIELDS = 50

_PARTITIONS = [
    TopicPartition(topic.name, number)
    for topic in (GALLERY, FACTS)
    for number in range(topic.partitions)
]


class ReferenceFollower:
    """Keeps the reference data and the gallery index as the topics have them."""

    def __init__(
        self,
        kafka: AioKafka,
        reference: ReferenceData,
        gallery: GalleryIndex,
        on_change: Callable[[AffectedIdentities], None],
    ) -> None:
        """Make a follower that has read nothing yet.

        Args:
            kafka: Connection settings.
            reference: Reference data to update.
            gallery: Index of the same enrolled people.
            on_change: Called after each record with what it affects.
        """
        self._kafka = kafka
        self._reference = reference
        self._gallery = gallery
        self._on_change = on_change
        self.consumer: AIOKafkaConsumer | None = None
        """Consumer of both topics, from `load` on."""

    async def load(self) -> None:
        """Read both topics to their present ends.

        Raises:
            KafkaError: Not read.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.servers,
            client_id=REFERENCE_CLIENT,
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            **self._kafka.access,
        )
        self.consumer = consumer
        await consumer.start()
        consumer.assign(_PARTITIONS)
        # Once it fetches, the broker holds every other request until there are records.
        consumer.pause(*_PARTITIONS)
        await consumer.seek_to_beginning(*_PARTITIONS)
        ends = await consumer.end_offsets(_PARTITIONS)
        consumer.resume(*_PARTITIONS)
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                await self._poll(consumer)
        # A million people are millions of objects: a garbage collection over all of them would
        # be a pause of 0.2 s.
        gc.freeze()
        people, templates = len(self._reference.enrolled), self._gallery.indexes.templates
        log.info("gallery: %d people, %d templates", people, templates)

    async def follow(self) -> None:
        """Apply new records, for ever.

        Raises:
            KafkaError: Not read.
        """
        if self.consumer is None:
            raise RuntimeError("load first")
        while True:
            await self._poll(self.consumer)

    async def close(self) -> None:
        """Close the connection."""
        if self.consumer is not None:
            await self.consumer.stop()

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS)
        for batch in batches.values():
            for number, record in enumerate(batch):
                self._apply(record)
                if number % _RECORDS_BETWEEN_YIELDS == 0:
                    await asyncio.sleep(0)  # faces are waiting

    def _apply(self, record: ConsumerRecord) -> None:
        metrics.RECORDS.labels("match", record.topic).inc()
        try:
            if record.topic == GALLERY.name:
                affected = self._apply_person(record)
            else:
                affected = self._reference.facts.put(record.key or b"", record.value)
        except InvalidMessageError as error:
            # No dead letter: the topic is read again at every start, and the record stays in it.
            metrics.DEAD_LETTERS.labels("match", error.reason).inc()
            log.warning("%s: record %d is left out: %s", record.topic, record.offset, error)
            return
        self._on_change(affected)

    def _apply_person(self, record: ConsumerRecord) -> AffectedIdentities:
        self._reference.enrolled.revision = record.offset + 1
        if record.value is None:
            person_id = (record.key or b"").decode(errors="replace")
            self._gallery.remove(person_id)
        else:
            person = decode(pb.GalleryPerson, record.value)
            person_id = person.person_id
            self._gallery.put(person)
        return AffectedIdentities(people=frozenset({global_id(person_id)}))
