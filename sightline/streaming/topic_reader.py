"""Bounded reads of topics, and the offsets of topics and groups.

Every function raises InfrastructureError when Kafka does not answer.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError, Message, TopicPartition

from schemas.naming import client_id
from schemas.topics import Topic
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import consumer_config
from sightline.streaming.clients import CONFLUENT, ClientConfig, ConsumerClient, KafkaClients
from sightline.streaming.errors import translated
from sightline.streaming.messages import to_record
from sightline.streaming.records import Record

Offsets = dict[int, int]
"""Offset by partition of a topic."""

_READER = client_id("reader")
_REQUEST_TIMEOUT_SECONDS = 30.0
_MAX_FETCH_RECORDS = 500
_ONE_BATCH: ClientConfig = {"fetch.message.max.bytes": 1, "queued.min.messages": 1}
"""Config of a consumer that fetches one batch: a broker gives at least one, whatever its size."""
_POLL_SECONDS = 0.05
_END_SEARCH_RECORDS = 8
"""Looked at first in the search for the last record; then so many times as many."""


def read_topic(
    settings: Settings, topic: Topic, clients: KafkaClients = CONFLUENT
) -> Iterator[Record]:
    """Yield every committed record that a topic of the registry holds now."""
    starts = dict.fromkeys(range(topic.partitions), 0)
    return records_from(settings, topic.name, starts, clients=clients)


def records_from(
    settings: Settings,
    topic: str,
    starts: Mapping[int, int],
    *,
    committed: bool = True,
    clients: KafkaClients = CONFLUENT,
) -> Generator[Record, None, None]:
    """Yield the records of partitions from an offset on to their present ends, in order of each.

    Without `fetch_committed_offsets` records of aborted and open transactions are included.
    """
    with _consumer(settings, clients, committed=committed) as consumer:
        yield from _read_to_end(consumer, topic, starts)


def records_since(
    settings: Settings, topic: str, at_ms: int, clients: KafkaClients = CONFLUENT
) -> Generator[Record, None, None]:
    """Yield the committed records of a topic from a time (ms) on to its present end."""
    with _consumer(settings, clients) as consumer:
        yield from _read_to_end(consumer, topic, _offsets_at_time(consumer, topic, at_ms))


def first_from(
    settings: Settings, topic: str, partition: int, offset: int, clients: KafkaClients = CONFLUENT
) -> Record | None:
    """Return the first record of a partition from an offset on, without reading ahead; else None.

    A reader of frames has some of the partition's next megabytes before it is closed.
    """
    with _consumer(settings, clients, options=_ONE_BATCH) as consumer:
        return next(_read_to_end(consumer, topic, {partition: offset}, at_once=1), None)


def fetch_watermarks(
    settings: Settings, topic: str, clients: KafkaClients = CONFLUENT
) -> dict[int, tuple[int, int]]:
    """Return the low and high watermark of each partition; nothing for an unknown topic."""
    with _consumer(settings, clients) as consumer:
        return _watermarks(consumer, topic)


def fetch_end_offsets(settings: Settings, topic: str, clients: KafkaClients = CONFLUENT) -> Offsets:
    """Return the offset behind the last committed record of each partition, without markers.

    A group that has read the whole topic commits these.
    """
    with _consumer(settings, clients) as consumer:
        return {
            number: _end(consumer, topic, number, low, high)
            for number, (low, high) in _watermarks(consumer, topic).items()
        }


def fetch_offsets_at_time(
    settings: Settings, topic: str, at_ms: int, clients: KafkaClients = CONFLUENT
) -> Offsets:
    """Return the offset of each partition's first record at or after a time (ms); else its end."""
    with _consumer(settings, clients) as consumer:
        return _offsets_at_time(consumer, topic, at_ms)


def fetch_committed_offsets(
    settings: Settings,
    group: str,
    topic: str,
    numbers: Iterable[int],
    clients: KafkaClients = CONFLUENT,
) -> Offsets:
    """Return a group's committed offsets in partitions of a topic, 0 where there is none."""
    with _consumer(settings, clients, group) as consumer:
        partitions = [TopicPartition(topic, number) for number in numbers]
        answers = consumer.committed(partitions, timeout=_REQUEST_TIMEOUT_SECONDS)
        return {answer.partition: max(0, int(answer.offset)) for answer in answers}


def commit_offsets(
    settings: Settings, group: str, topic: str, offsets: Offsets, clients: KafkaClients = CONFLUENT
) -> None:
    """Commit the offsets of a group that has no members, for its first member to start from."""
    with _consumer(settings, clients, group) as consumer:
        positions = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        consumer.commit(offsets=positions, asynchronous=False)


@contextmanager
def _consumer(
    settings: Settings,
    clients: KafkaClients,
    group: str = _READER,
    *,
    committed: bool = True,
    options: ClientConfig | None = None,
) -> Iterator[ConsumerClient]:
    config = consumer_config(settings, _READER, group) | (options or {})
    if not committed:
        config["isolation.level"] = "read_uncommitted"
    consumer = clients.consumer(config | {"enable.partition.eof": True})
    try:
        with translated():
            yield consumer
    finally:
        consumer.close()


def _watermarks(consumer: ConsumerClient, topic: str) -> dict[int, tuple[int, int]]:
    metadata = consumer.list_topics(topic, timeout=_REQUEST_TIMEOUT_SECONDS).topics[topic]
    return {
        number: consumer.get_watermark_offsets(
            TopicPartition(topic, number), _REQUEST_TIMEOUT_SECONDS
        )
        for number in sorted(metadata.partitions)
    }


def _offsets_at_time(consumer: ConsumerClient, topic: str, at_ms: int) -> Offsets:
    high = {number: end for number, (_low, end) in _watermarks(consumer, topic).items()}
    queries = [TopicPartition(topic, number, at_ms) for number in high]
    answers = (
        consumer.offsets_for_times(queries, timeout=_REQUEST_TIMEOUT_SECONDS) if queries else []
    )
    return {
        answer.partition: int(answer.offset) if answer.offset >= 0 else high[answer.partition]
        for answer in answers
    }


def _end(consumer: ConsumerClient, topic: str, number: int, low: int, high: int) -> int:
    # Markers and records of aborted transactions may follow the last record.
    distance = _END_SEARCH_RECORDS
    while True:
        start = max(low, high - distance)
        last = None
        for record in _read_to_end(consumer, topic, {number: start}):
            last = record.offset
        if last is not None:
            return last + 1
        if start == low:
            return low
        distance *= _END_SEARCH_RECORDS


def _read_to_end(
    consumer: ConsumerClient,
    topic: str,
    starts: Mapping[int, int],
    *,
    at_once: int = _MAX_FETCH_RECORDS,
) -> Iterator[Record]:
    unfinished = set(starts)
    consumer.assign([TopicPartition(topic, number, offset) for number, offset in starts.items()])
    answered_at = time.monotonic()
    while unfinished:
        messages = consumer.consume(at_once, _POLL_SECONDS)
        if messages:
            answered_at = time.monotonic()
        elif time.monotonic() > answered_at + _REQUEST_TIMEOUT_SECONDS:
            raise InfrastructureError(f"Kafka has not given the topic {topic} to its end")
        for message in messages:
            if _is_end(message, topic):
                unfinished.discard(message.partition() or 0)
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
