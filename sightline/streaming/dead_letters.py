"""Dead letters: records that cannot be processed, with their position and the reason."""

import logging
import traceback

from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS, LIVE
from sightline.runtime import metrics
from sightline.runtime.errors import PoisonRecord
from sightline.streaming.records import OutputRecord, Record

log = logging.getLogger(__name__)

_DETAIL_CHARACTERS = 2_000
_STACK_CHARACTERS = 8_000
"""A letter has to fit into its topic, whose limit is 64 KiB above the largest record."""


def dead_letter(
    record: Record, service: str, error: PoisonRecord, now_us: int, *, run: str = LIVE
) -> OutputRecord:
    """Count and log a record that `service` gives up; return its dead letter for sending."""
    metrics.DEAD_LETTERS.labels(service, error.reason).inc()
    log.warning(
        "%s: dead letter %s/%d@%d: %s",
        service, record.topic, record.partition, record.offset, error,
        extra={"topic": record.topic, "partition": record.partition, "offset": record.offset},
    )  # fmt: skip
    letter = pb.DeadLetter(
        source=record.position,
        key=record.key or b"",
        value=record.value or b"",
        service=service,
        reason=error.reason,
        detail=error.detail[:_DETAIL_CHARACTERS],
        failed_at_us=now_us,
        stack="".join(traceback.format_exception(error))[-_STACK_CHARACTERS:],
        headers=[pb.Header(key=key, value=value) for key, value in record.headers],
        timestamp_ms=record.timestamp_ms,
        run=run,
    )
    return OutputRecord.of(DEAD_LETTERS, record.topic, letter, now_us)
