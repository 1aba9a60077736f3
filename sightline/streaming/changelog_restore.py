"""Restore of state from a compacted changelog topic, before the work on its partitions begins."""

from collections.abc import Iterable, Iterator

from confluent_kafka import KafkaError, Message, TopicPartition

from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import Stop
from sightline.streaming.clients import CONFLUENT, ClientConfig, ConsumerClient, KafkaClients
from sightline.streaming.messages import to_records
from sightline.streaming.records import Record

_POLL_SECONDS = 0.5
"""Also the time between two checks whether to stop."""

_END_WAIT_MS = 20


def restore_records(
    config: ClientConfig,
    topic: str,
    partitions: Iterable[int],
    timeout_seconds: float,
    stop: Stop,
    clients: KafkaClients = CONFLUENT,
    clock: Clock | None = None,
) -> Iterator[Record]:
    """Yield the committed records of partitions of a topic, each up to its very end, or `stop`.

    A transaction that a predecessor has left open is waited for: until it is committed or aborted,
    its records may count or not. Raises InfrastructureError after `timeout_seconds` without any.
    """
    clock = clock or SystemClock()
    unfinished = set(partitions)
    reader = clients.consumer(_without_membership(config))
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in unfinished])
        deadline = clock.monotonic() + timeout_seconds
        while unfinished and not stop.is_set():
            stop.beat()
            message = reader.poll(_POLL_SECONDS)
            if message is None:
                if clock.monotonic() > deadline:
                    raise InfrastructureError(f"Kafka has not given {topic} to its end")
                continue
            deadline = clock.monotonic() + timeout_seconds
            yield from to_records([message])
            if _is_at_very_end(reader, message):
                unfinished.discard(message.partition() or 0)
    finally:
        reader.close()


def _without_membership(config: ClientConfig) -> ClientConfig:
    """Return the config of the same consumer as no group's member, with an event at each end.

    The end is told in answer to a fetch, which the broker holds back while there is nothing new.
    """
    own = {name: value for name, value in config.items() if name != "group.instance.id"}
    return own | {"enable.partition.eof": True, "fetch.wait.max.ms": _END_WAIT_MS}


def _is_at_very_end(reader: ConsumerClient, message: Message) -> bool:
    """Return whether nothing follows: before an open transaction "the end" comes earlier."""
    error = message.error()
    if error is None or error.code() != KafkaError._PARTITION_EOF:
        return False
    partition = TopicPartition(message.topic() or "", message.partition() or 0)
    watermarks = reader.get_watermark_offsets(partition, cached=True)
    return watermarks is not None and (message.offset() or 0) >= int(watermarks[1])
