"""Reading what a state topic says of some partitions, before the work on them begins."""

import time
from collections.abc import Iterable, Iterator

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import LIBRDKAFKA
from sightline.streaming.client_config import ConfigValue
from sightline.streaming.messages import checked
from sightline.streaming.records import Record

_LOOK_SECONDS = 0.5
"""Between two looks whether to stop."""

_END_WAIT_MS = 20


def read_to_end(
    config: dict[str, ConfigValue],
    topic: str,
    partitions: Iterable[int],
    seconds: float,
    stop: Stop,
) -> Iterator[Record]:
    """Every committed record of some partitions of a topic, each up to its very end, or `stop`.

    A transaction that a predecessor has left open is waited for: until it is committed or given
    up, nobody knows whether it counts. Raises InfrastructureError when nothing comes for `seconds`.
    """
    left = set(partitions)
    reader = Consumer(_alone(config), logger=LIBRDKAFKA)
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in left])
        until = time.monotonic() + seconds
        while left and not stop:
            stop.beat()
            message = reader.poll(_LOOK_SECONDS)
            if message is None:
                if time.monotonic() > until:
                    raise InfrastructureError(f"Kafka has not given {topic} to its end")
                continue
            until = time.monotonic() + seconds
            yield from checked([message])
            if _at_the_very_end(reader, message):
                left.discard(message.partition() or 0)
    finally:
        reader.close()


def _alone(config: dict[str, ConfigValue]) -> dict[str, ConfigValue]:
    """The same consumer, in no group and with a word at each partition's end.

    The end is told in answer to a fetch, which the broker holds back while there is nothing new.
    """
    kept = {name: value for name, value in config.items() if name != "group.instance.id"}
    return kept | {"enable.partition.eof": True, "fetch.wait.max.ms": _END_WAIT_MS}


def _at_the_very_end(reader: Consumer, message: Message) -> bool:
    """Whether nothing follows, not even in an open transaction: there "the end" comes earlier."""
    error = message.error()
    if error is None or error.code() != KafkaError._PARTITION_EOF:
        return False
    at = TopicPartition(message.topic() or "", message.partition() or 0)
    marks = reader.get_watermark_offsets(at, cached=True)
    return marks is not None and (message.offset() or 0) >= int(marks[1])
