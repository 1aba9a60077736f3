"""The part that all clients of the broker in memory share."""

from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin._metadata import ClusterMetadata, PartitionMetadata, TopicMetadata

from sightline.streaming.records import Partition
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.errors import failure, kafka_error


class Process:
    """A process whose clients a test can end all at once."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.is_alive = True

    def kill(self) -> None:
        """End all clients as `kill -9` does: nothing is left, aborted or committed."""
        self.is_alive = False


class Client:
    """The requests that all clients have."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._broker = process.broker

    def _begin(self, request: str) -> None:
        if not self._process.is_alive:
            raise failure(KafkaError._DESTROY)
        self._broker.begin(request)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        self._begin("list_topics")
        with self._broker.lock:
            topics = self._broker.topics
            metadata: Any = ClusterMetadata()
            metadata.cluster_id = "memory"
            metadata.topics = {}
            for name in topics if topic is None else [topic]:
                entry: Any = TopicMetadata()
                entry.topic = name
                entry.partitions = {}
                if name not in topics:
                    entry.error = kafka_error(KafkaError.UNKNOWN_TOPIC_OR_PART)
                for number in range(len(topics.get(name, []))):
                    entry.partitions[number] = PartitionMetadata()
                    entry.partitions[number].id = number
                metadata.topics[name] = entry
            return metadata


def place_of(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition
