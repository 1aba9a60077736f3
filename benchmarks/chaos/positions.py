"""High watermarks, committed offsets and assignments, queried while brokers die.

The queries use consumers that read nothing: newer admin requests end the process when a broker
dies meanwhile (librdkafka 2.16: an assertion in `rd_kafka_enq_once_del_source_return`).
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
from sightline.streaming.records import Partition

_REQUEST_TIMEOUT_SECONDS = 2.0


class PositionReader:
    """Client for a group's committed offsets and topics' high watermarks, for one thread."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._group = group
        config = consumer_config(settings, "chaos-watch", group)
        self._consumer = Consumer(config, logger=LIBRDKAFKA)
        self._admin = AdminClient(client_config(settings, "chaos-watch"), logger=LIBRDKAFKA)

    def ends(self, topics: Iterable[Topic]) -> dict[Partition, int]:
        """Return the high watermarks of partitions whose leader answers. Raises KafkaException.

        One request per broker keeps the load of the observation low.
        """
        parts = [part for topic in topics for part in _parts(topic)]
        offsets = self._consumer.offsets_for_times(parts, timeout=_REQUEST_TIMEOUT_SECONDS)
        return {(part.topic, part.partition): part.offset for part in offsets if not part.error}

    def committed(self, topic: Topic) -> dict[Partition, int]:
        """Return the group's committed offsets in a topic, 0 if none. Raises KafkaException."""
        offsets = self._consumer.committed(_parts(topic), timeout=_REQUEST_TIMEOUT_SECONDS)
        return {(part.topic, part.partition): max(0, int(part.offset)) for part in offsets}

    def members(self) -> dict[str, frozenset[int]]:
        """Return the partitions of the group's members by client id. Raises KafkaException."""
        return {
            str(member.client_id): frozenset(number for _, number in _assigned(member.assignment))
            for group in self._groups()
            for member in group.members
        }

    def is_settled(self, count: int) -> bool:
        """Return True if the group is stable with at least `count` members."""
        with suppress(KafkaException):
            return any(
                group.state == "Stable" and len(group.members) >= count for group in self._groups()
            )
        return False

    def _groups(self) -> Any:  # their members' types are declared as None
        return self._admin.list_groups(self._group, timeout=_REQUEST_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


def _parts(topic: Topic) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number, OFFSET_END) for number in range(topic.partitions)]


def _assigned(data: bytes | None) -> list[Partition]:
    """Parse a consumer's assignment (Kafka's ConsumerProtocolAssignment)."""
    if not data:
        return []
    partitions: list[Partition] = []
    _version, topics = struct.unpack_from(">hi", data)
    at = 6
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (count,) = struct.unpack_from(">i", data, at)
        partitions += [(name, number) for number in struct.unpack_from(f">{count}i", data, at + 4)]
        at += 4 + 4 * count
    return partitions
