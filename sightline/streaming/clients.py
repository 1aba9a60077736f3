"""Kafka's clients as the loops and readers use them, and the factory that makes them.

Loops take a `KafkaClients`, so that tests run them against a broker in memory. The protocols are
the part of confluent-kafka's interface in use here; that library's own classes fit them.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, overload

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from sightline.runtime.log import LIBRDKAFKA
from sightline.streaming.client_config import ConfigValue

ClientConfig = dict[str, ConfigValue]
"""Settings of a client by their librdkafka names."""

RebalanceCallback = Callable[[Any, list[TopicPartition]], None]
"""Gets the consumer and the partitions that are assigned, revoked or lost."""

DeliveryCallback = Callable[[KafkaError | None, Message], None]
"""Gets the error, or None for a record that is in Kafka, and the record."""


class ConsumerClient(Protocol):
    """A consumer; every method that asks a broker raises KafkaException when that fails."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        """Join the consumer's group for topics; callbacks are called within `poll`."""

    def poll(self, timeout: float = -1) -> Message | None:
        """Return the next record or event; None when there is none within `timeout` seconds."""

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Return up to `num_messages` records and events that come within `timeout` seconds."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read partitions from their offsets on, and no others."""

    def assignment(self) -> list[TopicPartition]:
        """Return the partitions that are read."""

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return the next offset to be read of each partition, negative before the first."""

    def committed(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """Return the group's committed offsets, negative where there is none."""

    @overload
    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: Literal[True] = ...
    ) -> None: ...

    @overload
    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: Literal[False]
    ) -> list[TopicPartition]: ...

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Return the low and the high watermark; `cached` as the last fetch told them."""

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """Return each partition's first offset at or after the time (ms) given as its offset."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Return the cluster's metadata, of one topic or of all."""

    def consumer_group_metadata(self) -> Any:
        """Return the membership that a transaction's offsets are checked against."""

    def close(self) -> None:
        """Leave the group and close the client."""


class ProducerClient(Protocol):
    """A producer; every method that asks a broker raises KafkaException when that fails."""

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """Queue a record; raises BufferError while the queue is full."""

    def poll(self, timeout: float = -1) -> int:
        """Call the delivery callbacks that are due; return their number."""

    def flush(self, timeout: float = -1) -> int:
        """Wait for all deliveries; return the number of records still on their way."""

    def init_transactions(self, timeout: float = -1) -> None:
        """Fence earlier producers of the transactional id, and abort what they left open."""

    def begin_transaction(self) -> None:
        """Begin a transaction."""

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """Commit a group's offsets with the transaction."""

    def commit_transaction(self, timeout: float = -1) -> None:
        """Commit the transaction."""

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort the transaction."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Return the cluster's metadata, of one topic or of all."""


class KafkaClients(Protocol):
    """Makes the clients of a process."""

    def consumer(self, config: ClientConfig) -> ConsumerClient:
        """Return a new consumer."""

    def producer(self, config: ClientConfig) -> ProducerClient:
        """Return a new producer."""


class ConfluentClients:
    """Makes confluent-kafka's clients, which log through our logger."""

    def consumer(self, config: ClientConfig) -> ConsumerClient:
        """Return a new consumer."""
        return Consumer(config, logger=LIBRDKAFKA)

    def producer(self, config: ClientConfig) -> ProducerClient:
        """Return a new producer."""
        return Producer(config, logger=LIBRDKAFKA)


CONFLUENT = ConfluentClients()
"""The factory of every service."""
