"""Topics as the registry wants them: made where missing, put right where they differ.

Nothing is ever deleted, and partitions only grow.
"""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from schemas.naming import client_id
from schemas.topics import DAY_MS, Topic, frames, vision_state
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import RetentionSettings, Settings
from sightline.streaming.client_config import client_config

T = TypeVar("T")

_ANSWER_SECONDS = 5.0
_TOLD_SECONDS = 0.05
_TIMEOUT_MS = 30_000
_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the registry as the broker has it, and where it differs."""

    topic: Topic
    partitions: int | None  # None: not there
    replicas: int
    differs: dict[str, str]  # setting -> the value that the broker has

    @property
    def in_order(self) -> bool:
        """Whether there is nothing to do."""
        return self.partitions is not None and not self.needs_partitions and not self.differs

    @property
    def needs_partitions(self) -> bool:
        """Whether it has fewer partitions than it should."""
        return self.partitions is not None and self.partitions < self.topic.partitions


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a topic."""

    topic: str
    change: str


def apply_topics(settings: Settings, topics: Iterable[Topic]) -> list[Change]:
    """Create and reconcile topics; what was changed. Raises SightlineError when Kafka refuses."""
    admin = _admin(settings)
    changes: list[Change] = []
    made: set[str] = set()
    for state in _states(admin, _kept(topics, settings)):
        if state.partitions is None:
            if _create(admin, state.topic):
                made.add(state.topic.name)
                changes.append(
                    Change(state.topic.name, f"created, {state.topic.partitions} partitions")
                )
            continue
        if state.needs_partitions:
            _grow(admin, state.topic)
            changes.append(
                Change(
                    state.topic.name, f"partitions {state.partitions} -> {state.topic.partitions}"
                )
            )
        wanted = config_of(state.topic, state.replicas)
        if state.differs:
            _alter(admin, state.topic, {name: wanted[name] for name in state.differs})
            changes += [
                Change(state.topic.name, f"{name} {found} -> {wanted[name]}")
                for name, found in state.differs.items()
            ]
    _wait_until_told(admin, made)
    return changes


def ensure_fleet_topic(settings: Settings, fleet: str) -> list[Change]:
    """The topics of a fleet's frames and its vision's state, before its first camera sends one."""
    return apply_topics(settings, [frames(fleet), vision_state(fleet)])


def topic_states(settings: Settings, topics: Iterable[Topic]) -> list[TopicState]:
    """Topics as the broker has them. Raises SightlineError where none answers."""
    return _states(_admin(settings), _kept(topics, settings))


def reachable(settings: Settings, seconds: float = 3.0) -> bool:
    """Whether a broker answers."""
    try:
        _admin(settings).list_topics(timeout=seconds)
    except KafkaException:
        return False
    return True


def kept(topic: Topic, wanted: RetentionSettings) -> Topic:
    """The topic as the settings want it kept; what is compacted is kept for ever."""
    size = getattr(wanted, f"{topic.kind}_bytes", None)
    days = getattr(wanted, f"{topic.kind}_days", None)
    if topic.compacted or size is None or days is None:
        return topic
    return replace(topic, retention_bytes=size or -1, retention_ms=round(days * DAY_MS) or -1)


def _kept(topics: Iterable[Topic], settings: Settings) -> list[Topic]:
    return [kept(topic, settings.retention) for topic in topics]


def _admin(settings: Settings) -> AdminClient:
    config = client_config(settings, client_id("admin")) | {"socket.timeout.ms": _TIMEOUT_MS}
    return AdminClient(config, logger=LIBRDKAFKA)


def _no_kafka(error: KafkaException) -> SightlineError:
    return SightlineError(f"Kafka does not answer: {error.args[0].str()}")


def _brokers(admin: AdminClient) -> int:
    try:
        return len(admin.list_topics(timeout=_ANSWER_SECONDS).brokers)
    except KafkaException as error:
        raise _no_kafka(error) from error


def _told(admin: AdminClient) -> dict[str, TopicMetadata]:
    """The topics that a broker knows of, by name."""
    try:
        return admin.list_topics(timeout=_ANSWER_SECONDS).topics
    except KafkaException as error:
        raise _no_kafka(error) from error


def _states(admin: AdminClient, topics: Iterable[Topic]) -> list[TopicState]:
    there = _told(admin)
    topics = list(topics)
    existing = [topic for topic in topics if topic.name in there]
    configs = _configs(admin, existing)
    states = []
    for topic in topics:
        if topic.name not in there:
            states.append(TopicState(topic, None, 0, {}))
            continue
        partitions = there[topic.name].partitions
        replicas = min(len(partition.replicas) for partition in partitions.values())
        found = configs[topic.name]
        differs = {
            name: found.get(name, "")
            for name, value in config_of(topic, replicas).items()
            if found.get(name) != value
        }
        states.append(TopicState(topic, len(partitions), replicas, differs))
    return states


def config_of(topic: Topic, replicas: int) -> dict[str, str]:
    """The topic's settings; what cannot be made again wants two of three brokers to have it."""
    both = topic.precious and replicas >= _REPLICAS
    return topic.config() | {"min.insync.replicas": "2" if both else "1"}


def _configs(admin: AdminClient, topics: Iterable[Topic]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
    if not resources:
        return {}
    found = {}
    for resource, future in admin.describe_configs(resources).items():
        entries = _done(future, f"topic {resource.name}")
        found[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    return found


def _create(admin: AdminClient, topic: Topic) -> bool:
    """Where there are three brokers, on three, even while one of them is away.

    False where it is there: somebody was quicker, or the broker has not heard of it yet.
    """
    try:
        if not _created(admin, topic, _REPLICAS):
            _created(admin, topic, min(_REPLICAS, _brokers(admin)))
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise SightlineError(f"topic {topic.name}: {error.args[0].str()}") from error
        return False
    return True


def _created(admin: AdminClient, topic: Topic, replicas: int) -> bool:
    """Create a topic; False where there are not so many brokers."""
    wanted = NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=replicas,
        config=config_of(topic, replicas),
    )
    try:
        admin.create_topics([wanted])[topic.name].result()
    except KafkaException as error:
        few = error.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR
        if few and replicas > _brokers(admin):
            return False
        raise
    return True


def _wait_until_told(admin: AdminClient, made: set[str]) -> None:
    """A broker tells of a new topic a moment later than it is made: whoever looks then finds it.

    One that takes longer is no failure; it is made all the same.
    """
    until = time.monotonic() + _ANSWER_SECONDS
    while made and not made <= _told(admin).keys() and time.monotonic() < until:
        time.sleep(_TOLD_SECONDS)


def _grow(admin: AdminClient, topic: Topic) -> None:
    wanted = NewPartitions(topic.name, topic.partitions)
    _done(admin.create_partitions([wanted])[topic.name], f"topic {topic.name}")


def _alter(admin: AdminClient, topic: Topic, wanted: dict[str, str]) -> None:
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic.name,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ],
    )
    _done(admin.incremental_alter_configs([resource])[resource], f"topic {topic.name}")


def _done(future: "Future[T]", what: str) -> T:
    try:
        return future.result()
    except KafkaException as error:
        raise SightlineError(f"{what}: {error.args[0].str()}") from error
