"""Topics on the broker, created and altered to match the registry.

Topics are never deleted, and their partitions only grow.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

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
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import RetentionSettings
from sightline.streaming.client_config import client_config
from sightline.streaming.errors import code_of, result_of, translate, translated

_ANSWER_SECONDS = 5.0
_PROBE_SECONDS = 3.0
_METADATA_POLL_SECONDS = 0.05
_SOCKET_TIMEOUT_MS = 30_000
_REPLICAS = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the registry as the broker has it, with the differences."""

    topic: Topic
    partitions: int | None  # None: the topic does not exist
    replicas: int
    differs: dict[str, str]  # setting -> the value that the broker has

    @property
    def in_order(self) -> bool:
        """True when the broker's topic matches the registry."""
        return self.partitions is not None and not self.needs_partitions and not self.differs

    @property
    def needs_partitions(self) -> bool:
        """True when the broker's topic has fewer partitions than the registry's."""
        return self.partitions is not None and self.partitions < self.topic.partitions


@dataclass(frozen=True, slots=True)
class TopicChange:
    """A change made to a topic."""

    topic: str
    change: str


def apply_topics(settings: Settings, topics: Iterable[Topic]) -> list[TopicChange]:
    """Create and alter topics; return the changes. Raises SightlineError when Kafka refuses."""
    admin = _admin(settings)
    changes: list[TopicChange] = []
    created: set[str] = set()
    for state in _states(admin, _all_with_retention(topics, settings)):
        topic, lines = state.topic, []
        if state.partitions is None:
            if _create(admin, topic):
                created.add(topic.name)
                lines.append(f"created, {topic.partitions} partitions")
        else:
            if state.needs_partitions:
                _grow(admin, topic)
                lines.append(f"partitions {state.partitions} -> {topic.partitions}")
            if state.differs:
                target = config_of(topic, state.replicas)
                _alter(admin, topic, {name: target[name] for name in state.differs})
                lines += [f"{name} {old} -> {target[name]}" for name, old in state.differs.items()]
        changes += [TopicChange(topic.name, line) for line in lines]
    _wait_for_metadata(admin, created)
    return changes


def ensure_fleet_topic(settings: Settings, fleet: str) -> list[TopicChange]:
    """Create the topics of a fleet's frames and vision state, before its first camera sends."""
    return apply_topics(settings, [frames(fleet), vision_state(fleet)])


def topic_states(settings: Settings, topics: Iterable[Topic]) -> list[TopicState]:
    """Return topics as the broker has them. Raises SightlineError where none answers."""
    return _states(_admin(settings), _all_with_retention(topics, settings))


def is_reachable(settings: Settings) -> bool:
    """Return whether a broker answers."""
    try:
        _admin(settings).list_topics(timeout=_PROBE_SECONDS)
    except KafkaException:
        return False
    return True


def with_retention(topic: Topic, retention: RetentionSettings) -> Topic:
    """Return the topic with the retention of the settings; a compacted one is kept for ever."""
    size = getattr(retention, f"{topic.kind}_bytes", None)
    days = getattr(retention, f"{topic.kind}_days", None)
    if topic.compacted or size is None or days is None:
        return topic
    return replace(topic, retention_bytes=size or -1, retention_ms=round(days * DAY_MS) or -1)


def _all_with_retention(topics: Iterable[Topic], settings: Settings) -> list[Topic]:
    return [with_retention(topic, settings.retention) for topic in topics]


def admin_client(
    settings: Settings, name: str, timeout_ms: int = _SOCKET_TIMEOUT_MS
) -> AdminClient:
    """Return a client for requests to the brokers, each of which has `timeout_ms` for its answer.

    `name` is one for `naming.client_id`. Raises SightlineError as `client_config` does.
    """
    config = client_config(settings, client_id(name)) | {"socket.timeout.ms": timeout_ms}
    return AdminClient(config, logger=LIBRDKAFKA)


def _admin(settings: Settings) -> AdminClient:
    return admin_client(settings, "admin")


def _brokers(admin: AdminClient) -> int:
    with translated("Kafka does not answer", SightlineError):
        return len(admin.list_topics(timeout=_ANSWER_SECONDS).brokers)


def _metadata(admin: AdminClient) -> dict[str, TopicMetadata]:
    """Return the metadata of all topics, by name."""
    with translated("Kafka does not answer", SightlineError):
        return admin.list_topics(timeout=_ANSWER_SECONDS).topics


def _states(admin: AdminClient, topics: Iterable[Topic]) -> list[TopicState]:
    metadata = _metadata(admin)
    topics = list(topics)
    configs = _configs(admin, [topic for topic in topics if topic.name in metadata])
    states = []
    for topic in topics:
        if topic.name not in metadata:
            states.append(TopicState(topic, None, 0, {}))
            continue
        partitions = metadata[topic.name].partitions
        replicas = min(len(partition.replicas) for partition in partitions.values())
        config = configs[topic.name]
        differs = {
            name: config.get(name, "")
            for name, value in config_of(topic, replicas).items()
            if config.get(name) != value
        }
        states.append(TopicState(topic, len(partitions), replicas, differs))
    return states


def config_of(topic: Topic, replicas: int) -> dict[str, str]:
    """Return the config of a topic; a precious one needs two of three brokers in sync."""
    needs_two = topic.is_irreplaceable and replicas >= _REPLICAS
    return topic.config() | {"min.insync.replicas": "2" if needs_two else "1"}


def _configs(admin: AdminClient, topics: Iterable[Topic]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
    if not resources:
        return {}
    configs = {}
    for resource, future in admin.describe_configs(resources).items():
        entries = result_of(future, f"topic {resource.name}", SightlineError)
        configs[resource.name] = {name: str(entry.value) for name, entry in entries.items()}
    return configs


def _create(admin: AdminClient, topic: Topic) -> bool:
    """Create a topic, on three brokers where there are three, even while one of them is away.

    Returns False where it exists, made by another process since the metadata was read.
    """
    try:
        if not _created(admin, topic, _REPLICAS):
            _created(admin, topic, min(_REPLICAS, _brokers(admin)))
    except KafkaException as error:
        if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            raise translate(error, f"topic {topic.name}", SightlineError) from error
        return False
    return True


def _created(admin: AdminClient, topic: Topic, replicas: int) -> bool:
    """Create a topic; return False where there are fewer brokers than replicas."""
    new_topic = NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=replicas,
        config=config_of(topic, replicas),
    )
    try:
        admin.create_topics([new_topic])[topic.name].result()
    except KafkaException as error:
        is_factor = code_of(error) == KafkaError.INVALID_REPLICATION_FACTOR
        if is_factor and replicas > _brokers(admin):
            return False
        raise
    return True


def _wait_for_metadata(admin: AdminClient, created: set[str]) -> None:
    """Wait until the broker's metadata has new topics, which it has moments after their creation.

    A topic that takes longer is no failure: it exists all the same.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    while created and not created <= _metadata(admin).keys() and time.monotonic() < deadline:
        time.sleep(_METADATA_POLL_SECONDS)


def _grow(admin: AdminClient, topic: Topic) -> None:
    request = NewPartitions(topic.name, topic.partitions)
    future = admin.create_partitions([request])[topic.name]
    result_of(future, f"topic {topic.name}", SightlineError)


def _alter(admin: AdminClient, topic: Topic, config: dict[str, str]) -> None:
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic.name,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ],
    )
    future = admin.incremental_alter_configs([resource])[resource]
    result_of(future, f"topic {topic.name}", SightlineError)
