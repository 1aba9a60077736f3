"""Giving a record up: counted, said, and kept with where it came from and why."""

import logging

from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS
from sightline import metrics
from sightline.errors import InvalidRecord
from sightline.kafka.records import Out, Record

log = logging.getLogger(__name__)


def give_up(record: Record, service: str, error: InvalidRecord, now_us: int) -> Out:
    """Count and log that `service` gave up on a record; the dead letter, for the caller to send."""
    metrics.DEAD_LETTERS.labels(service, error.reason).inc()
    log.warning(
        "%s: dead letter %s/%d@%d: %s",
        service, record.topic, record.partition, record.offset, error,
    )  # fmt: skip
    letter = pb.DeadLetter(
        source=record.position,
        key=record.key or b"",
        value=record.value or b"",
        service=service,
        reason=error.reason,
        detail=error.detail[:2000],
        failed_at_us=now_us,
    )
    return Out(DEAD_LETTERS.name, record.topic, letter.SerializeToString(), now_us // 1000)
