"""Contract of Kafka as the loops rely on it, for the broker in memory and for a real one.

A class that inherits the tests has a fixture `kafka`; they do not depend on the kind of broker.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming import topic_reader
from sightline.streaming.changelog_restore import restore_records
from sightline.streaming.client_config import ConfigValue, consumer_config, producer_config
from sightline.streaming.clients import ConsumerClient, KafkaClients, ProducerClient
from sightline.streaming.errors import code_of, kafka_error
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord

_REQUEST_TIMEOUT_SECONDS = 30.0


class Kafka(ABC):
    """A broker under test, with its clients."""

    settings: Settings
    clients: KafkaClients

    @abstractmethod
    def create_topic(self, name: str, partitions: int) -> None: ...

    def new_topic(self, partitions: int = 1) -> str:
        name = f"contract-{uuid4().hex[:8]}"
        self.create_topic(name, partitions)
        return name

    @contextmanager
    def consumer(self, group: str | None = None, **config: ConfigValue) -> Iterator[ConsumerClient]:
        base = consumer_config(self.settings, "contract", group or f"contract-{uuid4().hex[:8]}")
        options = {name.replace("_", "."): value for name, value in config.items()}
        with closing(
            self.clients.consumer(base | {"enable.partition.eof": True} | options)
        ) as consumer:
            yield consumer

    def producer(self, transactional_id: str | None = None) -> ProducerClient:
        config = producer_config(self.settings, "contract", transactional_id)
        producer = self.clients.producer(config)
        if transactional_id is not None:
            producer.init_transactions(_REQUEST_TIMEOUT_SECONDS)
        return producer

    def send(self, topic: str, *values: str, partition: int = 0) -> None:
        producer = self.producer()
        produce(producer, topic, *values, partition=partition)
        assert producer.flush(_REQUEST_TIMEOUT_SECONDS) == 0


def produce(producer: ProducerClient, topic: str, *values: str, partition: int = 0) -> None:
    for rank, value in enumerate(values):
        producer.produce(topic, value.encode(), b"key", partition, timestamp=1000 + rank)


def poll_until(
    consumer: ConsumerClient, is_done: Callable[[list[Message]], bool], *others: ConsumerClient
) -> list[Message]:
    """Poll until the messages so far fulfil a condition; poll other consumers meanwhile."""
    messages: list[Message] = []
    deadline = time.monotonic() + _REQUEST_TIMEOUT_SECONDS
    while not is_done(messages):
        assert time.monotonic() < deadline, f"{len(messages)} messages, and not the last one"
        message = consumer.poll(0.1)
        if message is not None:
            messages.append(message)
        for other in others:
            other.poll(0.1)
    return messages


def ends_in(messages: list[Message]) -> list[int]:
    """Return the offsets of the partition ends among messages."""
    errors = [(message.offset() or 0, message.error()) for message in messages]
    return [
        offset
        for offset, error in errors
        if error is not None and error.code() == KafkaError._PARTITION_EOF
    ]


def values_in(messages: list[Message]) -> list[str]:
    return [(message.value() or b"").decode() for message in messages if message.error() is None]


def read_to_first_end(consumer: ConsumerClient, topic: str, offset: int = 0) -> list[Message]:
    consumer.assign([TopicPartition(topic, 0, offset)])
    return poll_until(consumer, lambda messages: bool(ends_in(messages)))


class KafkaContract:
    """The contract."""

    def test_a_record_keeps_its_key_value_headers_and_time(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        producer = kafka.producer()
        delivered: list[tuple[KafkaError | None, int | None]] = []
        producer.produce(
            topic,
            b"\xff value",
            b"\xff key",
            0,
            timestamp=1234,
            headers=[("name", b"\x00")],
            on_delivery=lambda error, message: delivered.append((error, message.offset())),
        )
        assert producer.flush(_REQUEST_TIMEOUT_SECONDS) == 0
        assert delivered == [(None, 0)]
        with kafka.consumer() as consumer:
            record, end = read_to_first_end(consumer, topic)
        assert (record.topic(), record.partition(), record.offset()) == (topic, 0, 0)
        assert (record.key(), record.value()) == (b"\xff key", b"\xff value")
        assert record.headers() == [("name", b"\x00")]
        assert record.timestamp()[1] == 1234
        assert end.offset() == 1

    def test_a_tombstone_has_no_value(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        producer = kafka.producer()
        producer.produce(topic, None, b"key", 0)
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        with kafka.consumer() as consumer:
            record, _end = read_to_first_end(consumer, topic)
        assert record.value() is None
        assert record.headers() is None

    def test_the_key_chooses_the_partition(self, kafka: Kafka) -> None:
        topic = kafka.new_topic(partitions=3)
        producer = kafka.producer()
        chosen: dict[str, int | None] = {}
        for key in ("door", "hall", "gate", "yard"):
            producer.produce(
                topic,
                b"",
                key,
                on_delivery=lambda _error, message: chosen.update(
                    {(message.key() or b"").decode(): message.partition()}
                ),
            )
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        assert chosen == {"door": 2, "hall": 0, "gate": 0, "yard": 2}  # as Java's clients choose

    def test_an_open_transaction_hides_what_follows_it(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        kafka.send(topic, "before")
        producer = kafka.producer(f"t-{topic}")
        producer.begin_transaction()
        produce(producer, topic, "inside")
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        kafka.send(topic, "after")
        with kafka.consumer() as consumer:
            first = read_to_first_end(consumer, topic)
            assert (values_in(first), ends_in(first)) == (["before"], [1])
            partition = TopicPartition(topic, 0)
            assert consumer.get_watermark_offsets(partition, _REQUEST_TIMEOUT_SECONDS) == (0, 1)
            assert consumer.get_watermark_offsets(partition, cached=True)[1] == 3
            producer.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
            second = poll_until(consumer, lambda messages: bool(ends_in(messages)))
            assert (values_in(second), ends_in(second)) == (["inside", "after"], [4])
            (position,) = consumer.position([partition])
            assert position.offset == 4  # behind the marker
            assert consumer.get_watermark_offsets(partition, _REQUEST_TIMEOUT_SECONDS) == (0, 4)

    def test_an_aborted_transaction_is_never_read(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        producer = kafka.producer(f"t-{topic}")
        producer.begin_transaction()
        produce(producer, topic, "aborted")
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)
        producer.begin_transaction()
        produce(producer, topic, "committed")
        producer.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        with kafka.consumer() as consumer:
            messages = read_to_first_end(consumer, topic)
            assert (values_in(messages), ends_in(messages)) == (["committed"], [4])
        with kafka.consumer(isolation_level="read_uncommitted") as consumer:
            messages = read_to_first_end(consumer, topic)
            assert values_in(messages) == ["aborted", "committed"]

    def test_a_second_producer_of_a_transactional_id_fences_the_first(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        first = kafka.producer(f"t-{topic}")
        first.begin_transaction()
        produce(first, topic, "of the first")
        first.flush(_REQUEST_TIMEOUT_SECONDS)
        second = kafka.producer(f"t-{topic}")
        second.begin_transaction()
        produce(second, topic, "of the second")
        second.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        with pytest.raises(KafkaException) as raised:
            first.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        assert code_of(raised.value) == KafkaError._FENCED
        assert kafka_error(raised.value).fatal()
        with kafka.consumer() as consumer:
            assert values_in(read_to_first_end(consumer, topic)) == ["of the second"]

    def test_requests_out_of_order_are_refused(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        producer = kafka.producer(f"t-{topic}")
        with pytest.raises(KafkaException):
            producer.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        with pytest.raises(KafkaException):
            produce(producer, topic, "outside of a transaction")
        producer.begin_transaction()
        with pytest.raises(KafkaException):
            producer.begin_transaction()
        producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)

    def test_offsets_are_committed_with_their_transaction(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        kafka.send(topic, "a", "b")
        group = f"g-{topic}"
        producer = kafka.producer(f"t-{topic}")

        def committed() -> dict[int, int]:
            return topic_reader.fetch_committed_offsets(
                kafka.settings, group, topic, [0], kafka.clients
            )

        with kafka.consumer(group) as consumer:
            consumer.subscribe([topic])
            poll_until(consumer, lambda messages: values_in(messages) == ["a", "b"])
            for offset, is_aborted in ((1, True), (2, False)):
                producer.begin_transaction()
                producer.send_offsets_to_transaction(
                    [TopicPartition(topic, 0, offset)],
                    consumer.consumer_group_metadata(),
                    _REQUEST_TIMEOUT_SECONDS,
                )
                if is_aborted:
                    producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)
                    assert committed() == {0: 0}
                else:
                    producer.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        assert committed() == {0: 2}

    def test_offsets_of_an_earlier_generation_are_refused(self, kafka: Kafka) -> None:
        topic = kafka.new_topic(partitions=2)
        kafka.send(topic, "a")
        group = f"g-{topic}"
        producer = kafka.producer(f"t-{topic}")
        with kafka.consumer(group) as first, kafka.consumer(group) as second:
            first.subscribe([topic])
            poll_until(first, lambda _messages: len(first.assignment()) == 2)
            before = first.consumer_group_metadata()
            second.subscribe([topic])
            poll_until(
                first,
                lambda _: len(first.assignment()) == len(second.assignment()) == 1,
                second,
            )
            producer.begin_transaction()
            with pytest.raises(KafkaException) as raised:
                producer.send_offsets_to_transaction(
                    [TopicPartition(topic, 0, 1)], before, _REQUEST_TIMEOUT_SECONDS
                )
            assert kafka_error(raised.value).txn_requires_abort()
            assert not kafka_error(raised.value).retriable()
            producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)

    def test_a_member_that_joins_takes_a_share_and_gives_it_back(self, kafka: Kafka) -> None:
        topic = kafka.new_topic(partitions=4)
        group = f"g-{topic}"
        events: list[tuple[str, int]] = []

        def assigned(consumer: ConsumerClient, parts: list[TopicPartition]) -> None:
            events.append(("assigned", len(parts)))
            consumer.assign(parts)

        with kafka.consumer(group) as first:
            first.subscribe(
                [topic],
                on_assign=assigned,
                on_revoke=lambda _consumer, parts: events.append(("revoked", len(parts))),
            )
            poll_until(first, lambda _messages: len(first.assignment()) == 4)
            with kafka.consumer(group) as second:
                second.subscribe([topic])
                poll_until(
                    first,
                    lambda _: len(first.assignment()) == len(second.assignment()) == 2,
                    second,
                )
                places = {
                    (part.topic, part.partition)
                    for part in [*first.assignment(), *second.assignment()]
                }
                assert len(places) == 4
            poll_until(first, lambda _messages: len(first.assignment()) == 4)
        assert events == [
            ("assigned", 4),
            ("revoked", 4),
            ("assigned", 2),
            ("revoked", 2),
            ("assigned", 4),
            ("revoked", 4),
        ]

    def test_a_group_goes_on_from_its_committed_offset(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        kafka.send(topic, "a", "b", "c")
        group = f"g-{topic}"
        with kafka.consumer(group) as consumer:
            (unset,) = consumer.committed([TopicPartition(topic, 0)], _REQUEST_TIMEOUT_SECONDS)
            assert unset.offset < 0
        topic_reader.commit_offsets(kafka.settings, group, topic, {0: 2}, kafka.clients)
        with kafka.consumer(group) as consumer:
            consumer.subscribe([topic])
            messages = poll_until(consumer, lambda messages: bool(values_in(messages)))
            assert values_in(messages) == ["c"]

    def test_an_assignment_starts_where_it_says(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        kafka.send(topic, "a", "b", "c")
        with kafka.consumer() as consumer:
            partition = TopicPartition(topic, 0, 1)
            consumer.assign([partition])
            (assigned,) = consumer.assignment()
            assert (assigned.topic, assigned.partition, assigned.offset) == (topic, 0, 1)
            (before,) = consumer.position([partition])
            assert before.offset < 0
            poll_until(consumer, lambda messages: values_in(messages) == ["b"])
            (after,) = consumer.position([partition])
            assert after.offset == 2
            messages = poll_until(consumer, lambda messages: bool(ends_in(messages)))
            assert values_in(messages) == ["c"]
            consumer.assign([])
            assert consumer.assignment() == []

    def test_an_unknown_topic_has_no_partitions(self, kafka: Kafka) -> None:
        assert (
            topic_reader.fetch_watermarks(kafka.settings, f"none-{uuid4().hex}", kafka.clients)
            == {}
        )

    def test_bounded_reads_find_the_last_committed_record(self, kafka: Kafka) -> None:
        topic = kafka.new_topic(partitions=2)
        kafka.send(topic, "a", "b", "c")
        producer = kafka.producer(f"t-{topic}")
        producer.begin_transaction()
        produce(producer, topic, *(f"aborted {number}" for number in range(10)))
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        producer.abort_transaction(_REQUEST_TIMEOUT_SECONDS)
        settings, clients = kafka.settings, kafka.clients
        assert topic_reader.fetch_end_offsets(settings, topic, clients) == {0: 3, 1: 0}
        assert topic_reader.fetch_watermarks(settings, topic, clients) == {0: (0, 14), 1: (0, 0)}
        assert topic_reader.fetch_offsets_at_time(settings, topic, 1002, clients) == {0: 2, 1: 0}
        records = topic_reader.records_from(settings, topic, {0: 1, 1: 0}, clients=clients)
        assert [record.value for record in records] == [b"b", b"c"]
        first = topic_reader.first_from(settings, topic, 0, 1, clients)
        assert first is not None and first.value == b"b"
        assert topic_reader.first_from(settings, topic, 0, 3, clients) is None
        everything = topic_reader.records_from(
            settings, topic, {0: 0}, committed=False, clients=clients
        )
        assert len(list(everything)) == 13

    def test_a_restore_waits_for_an_open_transaction(self, kafka: Kafka) -> None:
        topic = kafka.new_topic()
        kafka.send(topic, "a")
        producer = kafka.producer(f"t-{topic}")
        producer.begin_transaction()
        produce(producer, topic, "b")
        producer.flush(_REQUEST_TIMEOUT_SECONDS)
        config = consumer_config(kafka.settings, "contract", "contract")
        values = []
        for record in restore_records(config, topic, [0], 30.0, Stop(10.0), kafka.clients):
            values.append(record.value)
            if record.value == b"a":
                producer.commit_transaction(_REQUEST_TIMEOUT_SECONDS)
        assert values == [b"a", b"b"]

    def test_a_sure_producer_raises_what_was_not_delivered(self, kafka: Kafka) -> None:
        config = producer_config(kafka.settings, "contract") | {"message.timeout.ms": 1000}
        producer = CheckedProducer(config, kafka.clients)
        producer.send(OutputRecord(f"none-{uuid4().hex}", "key", b"value", 0, partition=0))
        with pytest.raises(InfrastructureError, match="refused"):
            producer.flush(_REQUEST_TIMEOUT_SECONDS)
