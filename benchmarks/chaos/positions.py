"""Where topics end, where groups stand, who has which partition: asked while brokers die.

By consumers that read nothing: librdkafka's newer admin requests end the process when a broker
dies amid one (2.16: an assertion in `rd_kafka_enq_once_del_source_return`).
"""

import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import client_config, consumer_config

_ANSWER_SECONDS = 2.0

Partition = tuple[str, int]


class Onlooker:
    """Asks for a group's positions and for the ends of topics. For one thread."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._group = group
        config = consumer_config(settings, "chaos-watch", group)
        self._consumer = Consumer(config, logger=LIBRDKAFKA)
        self._admin = AdminClient(client_config(settings, "chaos-watch"), logger=LIBRDKAFKA)

    def ends(self, topics: Iterable[Topic]) -> dict[Partition, int]:
        """Where partitions end; of those whose leader answers. Raises KafkaException.

        One request to each broker: whoever looks on must not be what the brokers are busy with.
        """
        parts = [
            TopicPartition(topic.name, number, OFFSET_END)
            for topic in topics
            for number in range(topic.partitions)
        ]
        found = self._consumer.offsets_for_times(parts, timeout=_ANSWER_SECONDS)
        return {(part.topic, part.partition): part.offset for part in found if not part.error}

    def committed(self, topic: Topic) -> dict[Partition, int]:
        """Where the group stands in a topic; 0 where it has not begun. Raises KafkaException."""
        parts = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        found = self._consumer.committed(parts, timeout=_ANSWER_SECONDS)
        return {(part.topic, part.partition): max(0, int(part.offset)) for part in found}

    def members(self) -> dict[str, frozenset[int]]:
        """By client id the partitions that a member of the group has. Raises KafkaException."""
        return {
            str(member.client_id): frozenset(number for _, number in _assigned(member.assignment))
            for group in self._groups()
            for member in group.members
        }

    def is_settled(self, count: int) -> bool:
        """Whether the group has so many members, and they have their partitions."""
        with suppress(KafkaException):
            return any(
                group.state == "Stable" and len(group.members) >= count for group in self._groups()
            )
        return False

    def _groups(self) -> Any:  # their members' types are declared as None
        return self._admin.list_groups(self._group, timeout=_ANSWER_SECONDS)

    def close(self) -> None:
        """Let go."""
        self._consumer.close()


def _assigned(data: bytes | None) -> list[Partition]:
    """What a consumer's assignment says (Kafka's ConsumerProtocolAssignment)."""
    if not data:
        return []
    found: list[Partition] = []
    _version, topics = struct.unpack_from(">hi", data)
    at = 6
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (count,) = struct.unpack_from(">i", data, at)
        found += [(name, number) for number in struct.unpack_from(f">{count}i", data, at + 4)]
        at += 4 + 4 * count
    return found
