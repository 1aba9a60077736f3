"""The contract of Kafka on a real broker: the broker in memory may not be kinder than that."""

import pytest

from schemas.topics import Topic
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.clients import CONFLUENT
from tests.contract.kafka_contract import Kafka, KafkaContract

pytestmark = pytest.mark.stack


class RealKafka(Kafka):
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clients = CONFLUENT

    def create_topic(self, name: str, partitions: int) -> None:
        apply_topics(self.settings, [Topic(name, "none", partitions)])


class TestRealKafka(KafkaContract):
    @pytest.fixture
    def kafka(self, plain_stack: Settings) -> Kafka:
        return RealKafka(plain_stack)
