"""Who lags behind what a topic keeps is told before and after records are lost, on real Kafka."""

import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client import REGISTRY
from pydantic import SecretStr

from schemas.topics import DAY_MS, DEAD_LETTERS, MIB, Topic
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import RetentionSettings
from sightline.storage.db import connect
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from sinks.retention import RetentionWatch, work
from tests.support import eventually

pytestmark = pytest.mark.stack

KIB = 1024


def fill(stack: Settings, topic: str, count: int, age_ms: int = 0) -> None:
    """Records of 10 KiB."""
    producer = CheckedProducer(producer_config(stack, "retention-test"))
    at = time.time_ns() // 1_000_000 - age_ms
    for _ in range(count):
        producer.send(OutputRecord(topic, "key", os.urandom(10 * KIB), at))
    producer.flush(60)


def stand(stack: Settings, group: str, topic: str, offset: int) -> None:
    consumer = Consumer(consumer_config(stack, group, group))
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def lost(group: str, topic: str) -> float:
    labels = {"group": group, "topic": topic}
    return REGISTRY.get_sample_value("sightline_records_lost_total", labels) or 0.0


def share(group: str, topic: str) -> float | None:
    return REGISTRY.get_sample_value(
        "sightline_retention_used_ratio", {"group": group, "topic": topic}
    )


def kept(what: str, topic: str) -> float | None:
    return REGISTRY.get_sample_value(f"sightline_topic_{what}", {"topic": topic})


def test_a_group_that_lags_is_warned_of_once_and_its_losses_are_counted(
    stack: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    topic, group = "retention-bytes", "sightline-retention-bytes"
    apply_topics(stack, [Topic(topic, "none", 1, retention_bytes=MIB)])
    fill(stack, topic, 15)
    stand(stack, group, topic, 5)
    watch = RetentionWatch(stack)
    caplog.set_level(logging.WARNING, "sinks.retention")

    def said() -> list[str]:
        return [line for line in caplog.messages if line.startswith(f"{group}:")]

    calm = watch.check()[group, topic]
    assert calm.records == 10
    assert calm.ratio == pytest.approx(10 * 10 * KIB / MIB, rel=0.1)
    assert said() == []

    fill(stack, topic, 60)
    assert watch.check()[group, topic].ratio == pytest.approx(70 * 10 * KIB / MIB, rel=0.1)
    watch.check()
    (warning,) = said()
    assert "70 records of retention-bytes are not read yet" in warning
    assert share(group, topic) == pytest.approx(70 * 10 * KIB / MIB, rel=0.1)
    assert kept("records", topic) == 75
    assert kept("bytes", topic) == pytest.approx(75 * 10 * KIB, rel=0.1)
    assert kept("records", DEAD_LETTERS.name) is not None
    assert kept("records", "__consumer_offsets") is None

    fill(stack, topic, 400)
    eventually(lambda: watch.check()[group, topic].lost, what="the broker deletes the oldest")
    # The broker may have deleted more meanwhile, but each record is counted once.
    left = watch.check()[group, topic]
    assert lost(group, topic) == 475 - 5 - left.records
    assert any("deleted unread" in line for line in said())
    before = lost(group, topic)
    assert watch.check()[group, topic].lost == 0
    assert lost(group, topic) == before

    stand(stack, group, topic, 475)
    done = watch.check()[group, topic]
    assert (done.records, done.ratio, done.lost) == (0, 0.0, 0)
    assert share(group, topic) == 0.0
    warnings = len(said())
    fill(stack, topic, 90)
    watch.check()
    assert len(said()) == warnings + 1, "who has caught up is warned of anew"


def test_where_days_are_limited_the_age_of_what_is_unread_counts(stack: Settings) -> None:
    topic, group = "retention-days", "sightline-retention-days"
    apply_topics(stack, [Topic(topic, "none", 1, retention_ms=DAY_MS)])
    fill(stack, topic, 2, age_ms=DAY_MS // 2)
    fill(stack, topic, 2, age_ms=DAY_MS // 4)
    watch = RetentionWatch(stack)
    for offset, expected in [(0, 0.5), (2, 0.25), (4, 0.0)]:
        stand(stack, group, topic, offset)
        assert watch.check()[group, topic].ratio == pytest.approx(expected, abs=0.01)


@pytest.fixture
def sink(stack: Settings) -> Iterator[str]:
    name = "retention-sink"
    yield name
    with connect(stack) as db:
        db.execute("DELETE FROM sink_offsets WHERE sink = %s", (name,))


def test_the_database_says_where_a_sink_stands_and_kafka_while_it_is_away(
    stack: Settings, sink: str
) -> None:
    topic, group = "retention-rows", f"sightline-{sink}"
    kept_for_ever = Topic("retention-compacted", "none", 1, compacted=True)
    apply_topics(stack, [Topic(topic, "none", 1, retention_bytes=MIB), kept_for_ever])
    fill(stack, topic, 10)
    fill(stack, kept_for_ever.name, 1)
    stand(stack, group, topic, 2)
    stand(stack, group, kept_for_ever.name, 0)
    with connect(stack) as db:
        db.execute("INSERT INTO sink_offsets VALUES (%s, %s, 0, 7)", (sink, topic))
        db.execute("INSERT INTO sink_offsets VALUES (%s, 'no-such-topic', 0, 7)", (sink,))
    found = RetentionWatch(stack).check()
    assert found[group, topic].records == 3
    assert (group, kept_for_ever.name) not in found, "what is compacted is never at risk"
    assert (group, "no-such-topic") not in found

    away = stack.model_copy(update={"database_url": SecretStr("postgresql://x@127.0.0.1:1/x")})
    assert RetentionWatch(away).check()[group, topic].records == 8


def test_the_service_looks_again_and_again_and_stops_when_told(stack: Settings) -> None:
    group, topic = "sightline-retention-service", "retention-service"
    apply_topics(stack, [Topic(topic, "none", 1, retention_bytes=MIB)])
    fill(stack, topic, 1)
    stand(stack, group, topic, 0)
    # Nothing of the session's database is so old.
    kept = RetentionSettings(watch_seconds=0.05, expire_seconds=0.05, access_log_days=3650)
    stop = Stop(10)
    service = threading.Thread(
        target=work, args=(stack.model_copy(update={"retention": kept}), stop)
    )
    service.start()
    try:
        eventually(lambda: share(group, topic))
        first = share(group, topic) or 0.0
        fill(stack, topic, 9)
        eventually(lambda: (share(group, topic) or 0) > 5 * first)
    finally:
        stop.request()
        service.join(10)
    assert not service.is_alive()
