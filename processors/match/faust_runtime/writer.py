"""Kafka writer of the matcher: delivered when a call returns, and only while the lease is held."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import RecordListTooLargeError
from aiokafka.protocol.produce import ProduceRequest

from processors.match.faust_runtime.lease import Lease
from schemas.naming import client_id
from schemas.topics import MAX_RECORD_BYTES
from sightline.streaming.client_config import AioKafka
from sightline.streaming.records import OutputRecord

DELIVERY_SECONDS = 30.0
"""Time in which Kafka has to take a record; after it the process ends."""


class Writer:
    """Producer of sightings, dead letters and changelog entries.

    Rule 4. Faust's own buffers are never awaited, and they have no place for a lease.
    """

    def __init__(self, kafka: AioKafka, lease: Lease) -> None:
        self._lease = lease
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka.servers,
            client_id=client_id("match"),
            acks="all",
            request_timeout_ms=round(DELIVERY_SECONDS * 1000),
            # The topics limit the size of a record: the client's own refusal would have a less
            # clear error. A batch has to hold all changes of an event.
            max_request_size=8 * MAX_RECORD_BYTES,
            max_batch_size=MAX_RECORD_BYTES,
            **kafka.access,
        )
        self._guard(self._producer.client)

    async def start(self) -> None:
        """Connect to Kafka.

        Raises:
            KafkaError: No connection.
        """
        await self._producer.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._producer.stop()

    async def send(self, outs: Sequence[OutputRecord]) -> None:
        """Send records, those of a partition in their order.

        Raises:
            KafkaError: Not delivered.
        """
        deliveries = []
        for out in outs:
            record = (out.value, out.key.encode(), out.partition, out.timestamp_ms)
            deliveries.append(await self._producer.send(out.topic, *record, list(out.headers)))
        await asyncio.gather(*deliveries)

    async def store(
        self, topic: str, partition: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        """Write entries to a partition, all or none: in one batch, which Kafka takes whole.

        Raises:
            KafkaError: Not delivered; RecordListTooLargeError where the batch is too small.
        """
        if not entries:
            return
        batch = self._producer.create_batch()
        for key, value in entries:
            if batch.append(timestamp=None, key=key, value=value) is None:
                raise RecordListTooLargeError(f"{len(entries)} changes of one event")
        batch.close()
        await (await self._producer.send_batch(batch, topic, partition=partition))

    def _guard(self, client: Any) -> None:
        """Check the lease right before the bytes go to the socket.

        Once a node is connected nothing is awaited in `send` before that, so a worker that wakes
        up anywhere else checks first. What remains is a freeze between these lines and the system
        call.
        """
        send = client.send

        async def guarded(node: Any, request: Any, **options: Any) -> Any:
            if isinstance(request, ProduceRequest) and await client.ready(node):
                await self._lease.wait(DELIVERY_SECONDS)
            return await send(node, request, **options)

        client.send = guarded
