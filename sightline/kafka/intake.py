"""A record is taken: counted, with the time that it waited."""

from sightline import metrics
from sightline.kafka.records import Record

_MS = 1000


def took(service: str, record: Record, now_us: int) -> None:
    """Count a record that a service takes now."""
    metrics.RECORDS.labels(service, record.topic).inc()
    waited = now_us / _MS - record.timestamp_ms
    metrics.observe_age(metrics.RECORD_WAIT_SECONDS.labels(service, record.topic), waited / _MS)
