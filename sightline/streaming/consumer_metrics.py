"""Counters of consumed records, and of the time that they waited."""

from collections.abc import Iterable

from sightline.runtime import metrics
from sightline.streaming.records import Record

_MS_PER_SECOND = 1000


def register_topics(service: str, topics: Iterable[str]) -> None:
    """Show 0 for a service's counters, so that the first record or dead letter is an increase."""
    for topic in topics:
        metrics.RECORDS.labels(service, topic)
        metrics.RECORD_WAIT_SECONDS.labels(service, topic)
    for reason in ("not_protobuf", "empty"):
        metrics.DEAD_LETTERS.labels(service, reason)


def count_consumed(service: str, record: Record, now_us: int) -> None:
    """Count a record that a service consumes now, and the time since its timestamp."""
    metrics.RECORDS.labels(service, record.topic).inc()
    age_ms = now_us / 1000 - record.timestamp_ms
    histogram = metrics.RECORD_WAIT_SECONDS.labels(service, record.topic)
    metrics.observe_age(histogram, age_ms / _MS_PER_SECOND)
