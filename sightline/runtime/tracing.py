"""Traces from a frame's capture to the rows derived from it, carried by record headers.

Without `tracing.endpoint` no header is written, and OpenTelemetry is not imported. A camera begins
a trace for a share of its frames; a service that processes a traced record adds a span. A track
has many frames: a row's trace is that of the frame whose record caused the row.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from sightline.runtime.errors import SightlineError
from sightline.runtime.headers import Headers
from sightline.runtime.settings import Settings

if TYPE_CHECKING:
    from sightline.runtime.spans import Spans

_spans: "Spans | None" = None


class ConsumedRecord(Protocol):
    """A record of Kafka, as far as traces need it."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""

    @property
    def offset(self) -> int:
        """The offset in the partition."""

    @property
    def headers(self) -> Headers:
        """The headers; empty where there are none."""


def configure(settings: Settings, service: str, instance: str) -> None:
    """Start tracing as the settings say. Raises SightlineError without the extra `tracing`."""
    global _spans  # noqa: PLW0603 - one service to a process
    previous, _spans = _spans, None
    if previous is not None:
        previous.close()
    tracing = settings.tracing
    if not tracing.endpoint:
        return
    try:
        from sightline.runtime.spans import Spans  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise SightlineError(
            "tracing.endpoint is set, and the extra `tracing` is not installed:"
            " pip install 'sightline[tracing]'"
        ) from error
    _spans = Spans(tracing.endpoint, tracing.sample_ratio, service, instance)


def begin_trace(camera: str, captured_us: int, now_us: int) -> Headers:
    """Begin the trace of a captured frame; return the headers of its record."""
    if _spans is None:
        return ()
    return _spans.begin("capture", captured_us, now_us, {"camera": camera})


def trace_processing(service: str, record: ConsumedRecord) -> AbstractContextManager[Headers]:
    """Trace the processing of a record while inside; give the headers of its outputs."""
    if _spans is None or not record.headers:
        return nullcontext(())
    return _spans.follow(service, record.headers, _attributes(record))


def trace_commit(service: str, record: ConsumedRecord, began_us: int, now_us: int) -> None:
    """Note that a record's rows are committed, by a transaction that began at `began_us`."""
    if _spans is not None and record.headers:
        _spans.add(service, record.headers, began_us, now_us, _attributes(record))


def _attributes(record: ConsumedRecord) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
