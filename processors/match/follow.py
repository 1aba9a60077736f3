"""The gallery topic, read from its beginning and followed, by a consumer without a group.

Rule 7. A Faust GlobalTable can recover for ever with several workers.
"""

import asyncio
import gc
import logging

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from processors.match.gallery import Gallery
from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.topics import GALLERY
from sightline import metrics

log = logging.getLogger(__name__)

_WAIT_MS = 500
_IN_ONE_GO = 50


class GalleryFollower:
    """Keeps a gallery as the topic says."""

    def __init__(self, servers: str, gallery: Gallery) -> None:
        self._servers = servers
        self._gallery = gallery
        self._consumer: AIOKafkaConsumer | None = None

    async def load(self) -> None:
        """Read all that is there now. Raises KafkaError."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers.split(","),
            client_id="sightline-match-gallery",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=_WAIT_MS,
        )
        self._consumer = consumer
        await consumer.start()
        partitions = [TopicPartition(GALLERY.name, number) for number in range(GALLERY.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        for partition, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(partition) < end:
                await self._take(consumer)
        # A million people are millions of objects: looking through them all for garbage, as
        # Python does now and then, would be a pause of 0.2 s.
        gc.freeze()
        log.info("gallery: %d people, %d templates", len(self._gallery), self._gallery.templates)

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
        metrics.GALLERY_PEOPLE.set(len(self._gallery))
        metrics.GALLERY_TEMPLATES.set(self._gallery.templates)

    def _apply(self, record: ConsumerRecord) -> None:
        metrics.RECORDS.labels("match", record.topic).inc()
        try:
            if record.value is None:
                self._gallery.remove((record.key or b"").decode(errors="replace"))
            else:
                self._gallery.put(decode(pb.GalleryPerson, record.value))
        except InvalidMessageError as error:
            # No dead letter: the topic is read again at every start, and it stays there.
            metrics.DEAD_LETTERS.labels("match", error.reason).inc()
            log.warning("gallery: record %d is left out: %s", record.offset, error)
        self._gallery.revision = record.offset + 1
