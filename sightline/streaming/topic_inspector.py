"""What topics hold, how long they keep it, and where every group of ours stands in them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
)
from confluent_kafka import TopicPartition as At
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType

from schemas.naming import client_id, is_of_run, is_our_group
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import client_config, consumer_config
from sightline.streaming.sizes import Place, partition_bytes

T = TypeVar("T")

_CLIENT = client_id("holdings")

_SECONDS = 4.0  # and two of it are less than a shutdown may take


@dataclass(frozen=True, slots=True)
class Held:
    """A partition: its first offset, the one behind its last, its size, and what it may hold."""

    low: int
    high: int
    size: int  # bytes
    limit_bytes: int  # -1: none
    limit_ms: int  # -1: none


@dataclass(frozen=True, slots=True)
class Kept:
    """What a topic keeps, of all its partitions; markers of transactions count as records."""

    records: int
    size: int  # bytes


class Holdings:
    """Asks the brokers. Every method raises InfrastructureError when they do not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        config = client_config(settings, _CLIENT)
        self._admin = AdminClient(
            config | {"socket.timeout.ms": int(_SECONDS * 1000)}, logger=LIBRDKAFKA
        )

    def held(self, places: Iterable[Place]) -> dict[Place, Held]:
        """What partitions hold; those of compacted topics, and of topics that are gone, left out.

        Nobody loses what is compacted: the latest of each key stays.
        """
        limits = self._limits({topic for topic, _number in places})
        asked = [place for place in places if place[0] in limits]
        lows = self._offsets(asked, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs = self._offsets(asked, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        sizes = partition_bytes(self._settings)
        return {
            place: Held(lows[place], highs[place], sizes.get(place, 0), *limits[place[0]])
            for place in asked
        }

    def kept(self) -> dict[str, Kept]:
        """What each topic keeps; Kafka's own left out."""
        sizes = {at: size for at, size in partition_bytes(self._settings).items() if _is_ours(at)}
        lows = self._offsets(sizes, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        highs = self._offsets(sizes, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        records: Counter[str] = Counter()
        size: Counter[str] = Counter()
        for (topic, number), held in sizes.items():
            records[topic] += highs[topic, number] - lows[topic, number]
            size[topic] += held
        return {topic: Kept(records[topic], size[topic]) for topic in size}

    def positions(self) -> dict[str, dict[Place, int]]:
        """Where our groups stand, by group; a run's only while somebody works on it."""
        return {group: self._position(group) for group in self._groups()}

    def times(self, positions: Mapping[Place, int]) -> dict[Place, int]:
        """The time in ms of the record at an offset of each partition, where there is one."""
        config = consumer_config(self._settings, _CLIENT, _CLIENT)
        # A transaction that is open holds up nobody here.
        consumer = Consumer(config | {"isolation.level": "read_uncommitted"}, logger=LIBRDKAFKA)
        found = {}
        try:
            for (topic, number), offset in positions.items():
                consumer.assign([At(topic, number, offset)])
                message = consumer.poll(_SECONDS)
                if message is not None and message.error() is None:
                    found[topic, number] = message.timestamp()[1]
        except KafkaException as error:
            raise _failure(error) from error
        finally:
            consumer.close()
        return found

    def _groups(self) -> list[str]:
        found = _done(self._admin.list_consumer_groups())
        return [
            one.group_id
            for one in found.valid
            if is_our_group(one.group_id)
            and (not is_of_run(one.group_id) or one.state != ConsumerGroupState.EMPTY)
        ]

    def _position(self, group: str) -> dict[Place, int]:
        asked = [ConsumerGroupTopicPartitions(group)]
        found = _done(self._admin.list_consumer_group_offsets(asked)[group])
        return {
            (at.topic, at.partition): at.offset
            for at in found.topic_partitions or []
            if at.offset >= 0
        }

    def _limits(self, topics: set[str]) -> dict[str, tuple[int, int]]:
        """Bytes and milliseconds that topics keep."""
        try:
            there = self._admin.list_topics(timeout=_SECONDS).topics
        except KafkaException as error:
            raise _failure(error) from error
        resources = [ConfigResource(ResourceType.TOPIC, one) for one in topics if one in there]
        limits = {}
        for resource, future in (
            self._admin.describe_configs(resources).items() if resources else ()
        ):
            config = _done(future)
            if "compact" not in str(config["cleanup.policy"].value):
                limits[str(resource.name)] = (
                    int(config["retention.bytes"].value),
                    int(config["retention.ms"].value),
                )
        return limits

    def _offsets(self, places: Iterable[Place], which: OffsetSpec) -> Mapping[Place, int]:
        asked = {At(topic, number): which for topic, number in places}
        if not asked:
            return {}
        found = self._admin.list_offsets(asked)
        return {(at.topic, at.partition): _done(future).offset for at, future in found.items()}


def _is_ours(place: Place) -> bool:
    return not place[0].startswith("__")


def _done(future: "Future[T]") -> T:
    try:
        return future.result()
    except KafkaException as error:
        raise _failure(error) from error


def _failure(error: KafkaException) -> InfrastructureError:
    return InfrastructureError(f"Kafka: {error.args[0].str()}")
