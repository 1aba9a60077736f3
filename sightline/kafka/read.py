"""Reading a topic from its beginning to its present end."""

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.topics import Topic
from sightline.errors import SightlineError
from sightline.kafka.config import consumer_config
from sightline.kafka.messages import to_record
from sightline.kafka.records import Record
from sightline.log import LIBRDKAFKA
from sightline.settings import Settings

_SECONDS = 30.0


def read_all(settings: Settings, topic: Topic) -> Iterator[Record]:
    """Every committed record that a topic holds now. Raises SightlineError when Kafka fails."""
    config = consumer_config(settings, "sightline-reader", "sightline-reader")
    consumer = Consumer(config | {"enable.partition.eof": True}, logger=LIBRDKAFKA)
    try:
        left = set(range(topic.partitions))
        consumer.assign([TopicPartition(topic.name, number, 0) for number in left])
        while left:
            message = consumer.poll(_SECONDS)
            if message is None:
                raise SightlineError(f"Kafka has not given the topic {topic.name} to its end")
            error = message.error()
            if error is None:
                yield to_record(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition() or 0)
            elif not error.retriable():
                raise SightlineError(f"Kafka, topic {topic.name}: {error.str()}")
    finally:
        consumer.close()
