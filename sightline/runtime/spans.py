"""OpenTelemetry spans: exported by OTLP, with the W3C's `traceparent` as a record header."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sightline.runtime.headers import Headers

Attributes = Mapping[str, str | int]

_TRACES_PATH = "/v1/traces"
_EXPORT_TIMEOUT_SECONDS = 2.0
"""Bounds the export of the last spans at shutdown."""

_PROPAGATOR = TraceContextTextMapPropagator()
_HEADER_NAMES = frozenset(_PROPAGATOR.fields)
_NS_PER_US = 1_000


class Spans:
    """The spans of a process; a thread exports them, and drops them without a collector."""

    def __init__(self, endpoint: str, sample_ratio: float, service: str, instance: str) -> None:
        """Export a ratio (0 to 1) of traces to a collector's endpoint, with or without its path."""
        resource = Resource.create(
            {
                "service.namespace": "sightline",
                "service.name": service,
                "service.instance.id": instance,
            }
        )
        provider = TracerProvider(ParentBased(TraceIdRatioBased(sample_ratio)), resource)
        provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(_with_path(endpoint), timeout=_EXPORT_TIMEOUT_SECONDS)
            )
        )
        self._provider = provider
        self._tracer = provider.get_tracer("sightline")

    def begin(self, name: str, began_us: int, ended_us: int, attributes: Attributes) -> Headers:
        """Begin a trace by a span that is over; return its headers, none for an unsampled trace."""
        span = self._tracer.start_span(
            name, Context(), attributes=dict(attributes), start_time=began_us * _NS_PER_US
        )
        span.end(max(began_us, ended_us) * _NS_PER_US)
        return _headers(span)

    @contextmanager
    def follow(self, name: str, headers: Headers, attributes: Attributes) -> Iterator[Headers]:
        """Add a span to the trace of a record's headers while inside; without a trace do nothing.

        An exception that escapes is noted by its class alone: its message may quote a record.
        """
        parent = _parent(headers)
        if parent is None:
            yield ()
            return
        span = self._tracer.start_span(name, parent, attributes=dict(attributes))
        try:
            yield _headers(span)
        except BaseException as error:
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def add(
        self, name: str, headers: Headers, began_us: int, ended_us: int, attributes: Attributes
    ) -> None:
        """Add a span that is over to the trace of a record's headers."""
        parent = _parent(headers)
        if parent is not None:
            span = self._tracer.start_span(
                name, parent, attributes=dict(attributes), start_time=began_us * _NS_PER_US
            )
            span.end(ended_us * _NS_PER_US)

    def close(self) -> None:
        """Export the waiting spans and stop."""
        self._provider.shutdown()

    def flush(self) -> None:
        """Export the waiting spans."""
        self._provider.force_flush()


def _parent(headers: Headers) -> Context | None:
    """Return the context of the sampled span that a record's headers name, if any."""
    carrier = {
        name: value.decode("ascii", errors="replace")
        for name, value in headers
        if name in _HEADER_NAMES
    }
    context = _PROPAGATOR.extract(carrier, Context()) if carrier else None
    span = trace.get_current_span(context).get_span_context() if context else None
    return context if span and span.is_valid and span.trace_flags.sampled else None


def _headers(span: Span) -> Headers:
    if not span.get_span_context().trace_flags.sampled:
        return ()
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, Context()))
    return tuple((name, value.encode()) for name, value in carrier.items())


def _with_path(endpoint: str) -> str:
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _TRACES_PATH
