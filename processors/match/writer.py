"""What the matcher writes to Kafka: delivered when a call returns, and nothing by a worker that
its group has gone on without.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import RecordListTooLargeError
from aiokafka.protocol.produce import ProduceRequest

from processors.match.lease import Lease
from schemas.naming import client_id
from schemas.topics import MAX_RECORD_BYTES
from sightline.streaming.client_config import AioKafka
from sightline.streaming.records import Out

DELIVERY_SECONDS = 30.0
"""A record that Kafka does not take for so long ends the process."""


class Writer:
    """Rule 4. Faust's own buffers are awaited by nobody, and it has no place for a lease."""

    def __init__(self, kafka: AioKafka, lease: Lease) -> None:
        self._lease = lease
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka.servers,
            client_id=client_id("match"),
            acks="all",
            request_timeout_ms=round(DELIVERY_SECONDS * 1000),
            # The topics say what is too large; what the client refuses itself is told less
            # clearly. A batch is what all changes of an event have to fit in.
            max_request_size=8 * MAX_RECORD_BYTES,
            max_batch_size=MAX_RECORD_BYTES,
            **kafka.access,
        )
        self._guard(self._producer.client)

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._producer.start()

    async def stop(self) -> None:
        """Leave the broker."""
        await self._producer.stop()

    async def send(self, outs: Sequence[Out]) -> None:
        """Send records, those of a partition in their order. Raises KafkaError."""
        await asyncio.gather(
            *[
                await self._producer.send(
                    out.topic,
                    out.value,
                    out.key.encode(),
                    out.partition,
                    out.timestamp_ms,
                    list(out.headers),
                )
                for out in outs
            ]
        )

    async def store(
        self, topic: str, partition: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> None:
        """Write entries to a partition, all or none: in one batch, which Kafka takes whole.

        Raises KafkaError; RecordListTooLargeError where they do not fit.
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
        """Ask for the lease right before the bytes go to the socket.

        Once a node is connected nothing is awaited in `send` before that, so that a worker that
        wakes up anywhere else asks first. What is left is a freeze between these lines and the
        system call.
        """
        send = client.send

        async def guarded(node: Any, request: Any, **more: Any) -> Any:
            if isinstance(request, ProduceRequest) and await client.ready(node):
                await self._lease.wait(DELIVERY_SECONDS)
            return await send(node, request, **more)

        client.send = guarded
