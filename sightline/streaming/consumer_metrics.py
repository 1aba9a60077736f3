"""A record is taken: counted, with the time that it waited."""

from collections.abc import Iterable

from sightline.runtime import metrics
from sightline.streaming.records import Record

_MS = 1000


def expect(service: str, topics: Iterable[str]) -> None:
    """Show 0 of what a service takes and gives up, so that the first of it is seen as more."""
    for topic in topics:
        metrics.RECORDS.labels(service, topic)
        metrics.RECORD_WAIT_SECONDS.labels(service, topic)
    for reason in ("not_protobuf", "empty"):
        metrics.DEAD_LETTERS.labels(service, reason)


def took(service: str, record: Record, now_us: int) -> None:
    """Count a record that a service takes now."""
    metrics.RECORDS.labels(service, record.topic).inc()
    waited = now_us / _MS - record.timestamp_ms
    metrics.observe_age(metrics.RECORD_WAIT_SECONDS.labels(service, record.topic), waited / _MS)
