"""Contents and retention of topics, and the committed offsets of every group of ours."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    TopicPartition,
)
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from schemas.naming import client_id, is_of_run, is_our_group
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.admin import admin_client
from sightline.streaming.client_config import consumer_config
from sightline.streaming.errors import result_of, translated
from sightline.streaming.partition_sizes import partition_bytes
from sightline.streaming.records import Partition

_NAME = "holdings"
_CLIENT = client_id(_NAME)

_REQUEST_TIMEOUT_SECONDS = 4.0
"""Two requests take less than a shutdown may."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition: its low and high watermark, its size, and its retention limits."""

    low: int
    high: int
    size: int  # bytes
    limit_bytes: int  # -1: none
    limit_ms: int  # -1: none


@dataclass(frozen=True, slots=True)
class TopicContents:
    """Contents of a topic, over all its partitions; markers of transactions count as records."""

    records: int
    size: int  # bytes


class TopicInspector:
    """Requests to the brokers. Every method raises InfrastructureError when they do not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout_ms = int(_REQUEST_TIMEOUT_SECONDS * 1000)
        self._admin = admin_client(settings, _NAME, timeout_ms)

    def partition_states(self, partitions: Iterable[Partition]) -> dict[Partition, PartitionState]:
        """Return the state of partitions, without those of compacted or deleted topics.

        No group loses records of a compacted topic: the latest of each key stays.
        """
        partitions = list(partitions)
        limits = self._limits({topic for topic, _number in partitions})
        limited = [partition for partition in partitions if partition[0] in limits]
        lows = self._offsets(limited, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs = self._offsets(limited, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        sizes = partition_bytes(self._settings)
        return {
            partition: PartitionState(
                lows[partition], highs[partition], sizes.get(partition, 0), *limits[partition[0]]
            )
            for partition in limited
        }

    def contents(self) -> dict[str, TopicContents]:
        """Return the contents of each topic, without Kafka's own."""
        sizes = {
            partition: size
            for partition, size in partition_bytes(self._settings).items()
            if not partition[0].startswith("__")
        }
        lows = self._offsets(sizes, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs = self._offsets(sizes, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        records: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for partition, partition_size in sizes.items():
            topic, _number = partition
            records[topic] += highs[partition] - lows[partition]
            size[topic] += partition_size
        return {topic: TopicContents(records[topic], size[topic]) for topic in size}

    def committed_offsets(self) -> dict[str, dict[Partition, int]]:
        """Return the committed offsets of our groups; of a run's groups only those at work."""
        return {group: self._committed(group) for group in self._groups()}

    def record_times(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return the time in ms of the record at an offset of each partition, where one exists."""
        config = consumer_config(self._settings, _CLIENT, _CLIENT)
        # An open transaction does not hold up this reader.
        consumer = Consumer(config | {"isolation.level": "read_uncommitted"}, logger=LIBRDKAFKA)
        times = {}
        try:
            with translated():
                for partition, offset in positions.items():
                    consumer.assign([TopicPartition(*partition, offset)])
                    message = consumer.poll(_REQUEST_TIMEOUT_SECONDS)
                    if message is not None and message.error() is None:
                        times[partition] = message.timestamp()[1]
        finally:
            consumer.close()
        return times

    def _groups(self) -> list[str]:
        listing = result_of(self._admin.list_consumer_groups())
        return [
            group.group_id
            for group in listing.valid
            if is_our_group(group.group_id)
            and (not is_of_run(group.group_id) or group.state != ConsumerGroupState.EMPTY)
        ]

    def _committed(self, group: str) -> dict[Partition, int]:
        request = [ConsumerGroupTopicPartitions(group)]
        answer = result_of(self._admin.list_consumer_group_offsets(request)[group])
        return {
            (position.topic, position.partition): position.offset
            for position in answer.topic_partitions or []
            if position.offset >= 0
        }

    def _limits(self, topics: set[str]) -> dict[str, tuple[int, int]]:
        """Return the retention of topics in bytes and in milliseconds."""
        with translated():
            existing = self._admin.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics & existing.keys()]
        limits = {}
        for resource, future in (
            self._admin.describe_configs(resources).items() if resources else ()
        ):
            config = result_of(future)
            if "compact" not in str(config["cleanup.policy"].value):
                limits[str(resource.name)] = (
                    int(config["retention.bytes"].value),
                    int(config["retention.ms"].value),
                )
        return limits

    def _offsets(
        self, partitions: Iterable[Partition], which: OffsetSpec
    ) -> Mapping[Partition, int]:
        request = {TopicPartition(*partition): which for partition in partitions}
        if not request:
            return {}
        futures = self._admin.list_offsets(request)
        return {
            (partition.topic, partition.partition): result_of(future).offset
            for partition, future in futures.items()
        }
