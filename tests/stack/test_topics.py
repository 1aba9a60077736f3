"""`sightline topics` on the real broker."""

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import SIGHTINGS, Topic, all_topics
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.admin import TopicChange, apply_topics, ensure_fleet_topic, topic_states
from sightline.streaming.client_config import client_config
from tests.stack.commands_support import sightline_json
from tests.support import eventually, run_sightline

pytestmark = pytest.mark.stack


def test_every_topic_is_as_the_registry_wants_it(stack: Settings) -> None:
    rows = {row["topic"]: row["state"] for row in sightline_json(stack, "topics", "list")}
    # Others' cameras may be of fleets that have no topic yet.
    assert {rows[topic.name] for topic in all_topics()} == {"in order"}


def test_drift_is_repaired_and_nothing_else_is_touched(stack: Settings) -> None:
    drifted = Topic(
        "test-drift", "none", 1, retention_ms=3_600_000, extra={"segment.jitter.ms": "1000"}
    )
    wanted = Topic("test-drift", "none", 3, retention_ms=7_200_000)
    assert apply_topics(stack, [drifted]) == [TopicChange("test-drift", "created, 1 partitions")]
    assert apply_topics(stack, [drifted]) == []
    changes = {change.change for change in apply_topics(stack, [wanted])}
    assert changes == {
        "partitions 1 -> 3",
        "retention.ms 3600000 -> 7200000",
        # What nobody asks for any more stays as it is.
    }
    assert apply_topics(stack, [wanted]) == []
    fewer = Topic("test-drift", "none", 2, retention_ms=7_200_000)
    assert apply_topics(stack, [fewer]) == [], "partitions never go away"


def test_a_registry_topic_is_put_back_by_the_command(stack: Settings) -> None:
    settings = {"retention.ms": "1000"}
    from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
    from confluent_kafka.admin._resource import ResourceType

    admin = AdminClient(client_config(stack, "test"))
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, SIGHTINGS.name, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(60)
    (state,) = topic_states(stack, [SIGHTINGS])
    assert state.differs == settings
    changes = sightline_json(stack, "topics", "apply")
    assert {"topic": "sightings", "change": "retention.ms 1000 -> -1"} in changes
    # A busy broker tells the old value for a moment.
    assert eventually(lambda: not sightline_json(stack, "topics", "apply"))


def test_the_topics_of_a_fleet_come_with_its_first_camera(stack: Settings) -> None:
    assert ensure_fleet_topic(stack, "topics-a") == [
        TopicChange("frames.topics-a", "created, 12 partitions"),
        TopicChange("vision-state.topics-a", "created, 12 partitions"),
    ]
    # A broker tells of a new topic a moment later.
    eventually(lambda: ensure_fleet_topic(stack, "topics-a") == [])
    with connect(stack) as connection:
        connection.execute(
            "INSERT INTO cameras (camera_id, uri, fleet, slot)"
            " VALUES ('topics-1', 'file:none', 'topics-b', 0)"
        )
    try:
        assert {"topic": "frames.topics-b", "change": "created, 12 partitions"} in sightline_json(
            stack, "topics", "apply"
        )
    finally:
        with connect(stack) as connection:
            connection.execute("DELETE FROM cameras WHERE camera_id = 'topics-1'")


def test_no_broker_is_one_line(stack: Settings) -> None:
    result = run_sightline(
        stack.home, "topics", "list", check=False,
        env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("sightline: Kafka does not answer")
    assert result.stderr.count("\n") == 1
