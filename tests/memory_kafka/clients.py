"""The factory of clients of the broker in memory."""

from sightline.streaming.clients import ClientConfig
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.client import Process
from tests.memory_kafka.consumer import MemoryConsumer
from tests.memory_kafka.producer import MemoryProducer


class MemoryClients(Process):
    """The clients of one process: a `sightline.streaming.clients.KafkaClients`."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.consumers: list[MemoryConsumer] = []

    def consumer(self, config: ClientConfig) -> MemoryConsumer:
        self.consumers.append(MemoryConsumer(self, config))
        return self.consumers[-1]

    def producer(self, config: ClientConfig) -> MemoryProducer:
        return MemoryProducer(self, config)
