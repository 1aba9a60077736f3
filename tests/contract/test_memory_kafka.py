"""The contract of Kafka on the broker in memory, which unit tests of the loops stand on."""

import pytest

from sightline.runtime.settings import Settings
from tests.contract.kafka_contract import Kafka, KafkaContract
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.clients import MemoryClients


class MemoryKafka(Kafka):
    def __init__(self) -> None:
        self.settings = Settings(kafka_bootstrap_servers="memory:9092")
        self.broker = MemoryBroker()
        self.clients = MemoryClients(self.broker)

    def create_topic(self, name: str, partitions: int) -> None:
        self.broker.create_topic(name, partitions)


class TestMemoryKafka(KafkaContract):
    @pytest.fixture
    def kafka(self) -> Kafka:
        return MemoryKafka()
