"""The lag of a consumer on a real broker, without a question to it: transactions leave markers
behind, other partitions are idle, and what is fetched is not taken yet.
"""

from dataclasses import dataclass, field

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import Topic
from sightline.runtime import metrics
from sightline.runtime.clock import SystemClock
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.lag import LAG_CONSUMER_CONFIG, ConsumerLag
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import eventually

pytestmark = pytest.mark.stack

TOPIC = "test-lag"
GROUP = "test-lag"


@dataclass
class Ticking(SystemClock):
    """A clock whose seconds the test makes pass."""

    now: float = field(default=0.0)

    def monotonic(self) -> float:
        return self.now


def test_lag_is_what_is_not_taken_and_nothing_else(stack: Settings) -> None:
    apply_topics(stack, [Topic(TOPIC, "none", 2)])
    producer = CheckedProducer(producer_config(stack, GROUP, transactional_id=GROUP))
    producer.raw.init_transactions(30)
    clock = Ticking()
    consumer = Consumer(consumer_config(stack, GROUP, GROUP) | LAG_CONSUMER_CONFIG)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(2)])
    lag = ConsumerLag(consumer, GROUP, [TOPIC], clock)

    def send(records: int, partition: int) -> None:
        producer.raw.begin_transaction()
        producer.send_all(OutputRecord(TOPIC, "key", b"x", 1000, partition) for _ in range(records))
        producer.raw.commit_transaction(30)

    def take(seconds: float = 0.1) -> int:
        message = consumer.poll(seconds)
        return len(to_records([message] if message else []))

    def shown() -> tuple[float, float]:
        clock.now += 1
        lag.update()
        return (
            metrics.CONSUMER_LAG_RECORDS.labels(GROUP, TOPIC)._value.get(),
            metrics.CONSUMER_LAG_SECONDS.labels(GROUP, TOPIC)._value.get(),
        )

    try:
        send(5, 0)
        taken = 0
        while taken < 5:
            taken += take()
        eventually(lambda: take() == 0 and shown()[0] == 0)  # the marker is none

        send(4, 0)
        send(1, 1)
        # A marker counts only while there is something before it.
        eventually(lambda: shown()[0] == 4 + 1 + 1 + 1)
        waited = shown()[1]
        assert shown()[1] == waited + 1
        taken = 0
        while taken < 5:
            taken += take()
        eventually(lambda: take() == 0 and shown() == (0, 0))

        lag.mark_processed()
        consumer.assign([])
        send(3, 1)
        lag.update_unassigned()
        assert shown() == (0, 0)  # nothing is assigned
        lag.update_unassigned()
        assert metrics.CONSUMER_LAG_RECORDS.labels(GROUP, TOPIC)._value.get() == 4
    finally:
        consumer.close()
