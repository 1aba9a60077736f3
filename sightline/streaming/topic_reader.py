"""Where topics end, where groups stand, and what lies in between."""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.naming import client_id
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import consumer_config
from sightline.streaming.messages import to_record
from sightline.streaming.records import Record

Offsets = dict[int, int]
"""By partition."""

_READER = client_id("reader")
_SECONDS = 30.0
_AT_ONCE = 500
_WAIT_SECONDS = 0.05
_BACK = 8


def records_from(
    settings: Settings, topic: str, starts: Mapping[int, int], *, committed: bool = True
) -> Generator[Record, None, None]:
    """Every committed record of some partitions from an offset on to the present end.

    Each partition's in its order. Without `committed` those too of transactions that failed, or
    are not over. Raises InfrastructureError when Kafka does not give them.
    """
    with _consumer(settings, committed=committed) as consumer:
        yield from _to_the_end(consumer, topic, starts)


def retained(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """The first offset of each partition that Kafka still has, and the one behind the last.

    Empty for a topic that is not there. Raises InfrastructureError.
    """
    with _consumer(settings) as consumer:
        return _watermarks(consumer, topic)


def ends(settings: Settings, topic: str) -> Offsets:
    """The offset behind the last committed record of each partition, markers not counted.

    That is what a group that has read all of it commits. Raises InfrastructureError.
    """
    with _consumer(settings) as consumer:
        return {
            number: _end(consumer, topic, number, low, high)
            for number, (low, high) in _watermarks(consumer, topic).items()
        }


def at_time(settings: Settings, topic: str, at_ms: int) -> Offsets:
    """The offset of each partition's first record of a time (ms) or a later one; else its end.

    Raises InfrastructureError.
    """
    with _consumer(settings) as consumer:
        high = {number: end for number, (_low, end) in _watermarks(consumer, topic).items()}
        asked = [TopicPartition(topic, number, at_ms) for number in high]
        found = consumer.offsets_for_times(asked, timeout=_SECONDS) if asked else []
        return {
            at.partition: int(at.offset) if at.offset >= 0 else high[at.partition] for at in found
        }


def committed(settings: Settings, group: str, topic: str, numbers: Iterable[int]) -> Offsets:
    """Where a group stands in partitions of a topic; 0 where it has not been yet.

    Raises InfrastructureError.
    """
    with _consumer(settings, group) as consumer:
        asked = [TopicPartition(topic, number) for number in numbers]
        found = consumer.committed(asked, timeout=_SECONDS)
        return {at.partition: max(0, int(at.offset)) for at in found}


def commit(settings: Settings, group: str, topic: str, offsets: Offsets) -> None:
    """Say where a group that nobody is in begins. Raises InfrastructureError."""
    with _consumer(settings, group) as consumer:
        wanted = [TopicPartition(topic, number, at) for number, at in offsets.items()]
        consumer.commit(offsets=wanted, asynchronous=False)


@contextmanager
def _consumer(
    settings: Settings, group: str = _READER, *, committed: bool = True
) -> Iterator[Consumer]:
    config = consumer_config(settings, _READER, group)
    if not committed:
        config["isolation.level"] = "read_uncommitted"
    consumer = Consumer(config | {"enable.partition.eof": True}, logger=LIBRDKAFKA)
    try:
        yield consumer
    except KafkaException as error:
        raise InfrastructureError(f"Kafka: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _watermarks(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    known = consumer.list_topics(topic, timeout=_SECONDS).topics[topic]
    return {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), _SECONDS)
        for number in sorted(known.partitions)
    }


def _end(consumer: Consumer, topic: str, number: int, low: int, high: int) -> int:
    # Behind the last record may be markers of transactions, and records of those that failed.
    back = _BACK
    while True:
        start = max(low, high - back)
        last = None
        for record in _to_the_end(consumer, topic, {number: start}):
            last = record.offset
        if last is not None:
            return last + 1
        if start == low:
            return low
        back *= _BACK


def _to_the_end(consumer: Consumer, topic: str, starts: Mapping[int, int]) -> Iterator[Record]:
    left = set(starts)
    consumer.assign([TopicPartition(topic, number, at) for number, at in starts.items()])
    heard = time.monotonic()
    while left:
        messages = consumer.consume(_AT_ONCE, _WAIT_SECONDS)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() > heard + _SECONDS:
            raise InfrastructureError(f"Kafka has not given the topic {topic} to its end")
        for message in messages:
            if _is_end(message, topic):
                left.discard(message.partition() or 0)
            elif message.error() is None:
                yield to_record(message)


def _is_end(message: Message, topic: str) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    if not error.retriable():
        raise InfrastructureError(f"Kafka, topic {topic}: {error.str()}")
    return False
