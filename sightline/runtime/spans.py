"""OpenTelemetry's side of the traces: spans out by OTLP, the W3C's `traceparent` as a header."""

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

_PATH = "/v1/traces"
_EXPORT_SECONDS = 2.0
"""At the end the last spans wait for no longer."""

_CARRIED = TraceContextTextMapPropagator()
_NAMES = frozenset(_CARRIED.fields)
_NS = 1_000


class Spans:
    """The spans of one process; they leave it from a thread, and are dropped where nobody is."""

    def __init__(self, endpoint: str, share: float, service: str, instance: str) -> None:
        """`endpoint`: of a collector, with or without the path; `share` of traces, 0 to 1."""
        resource = Resource.create(
            {
                "service.namespace": "sightline",
                "service.name": service,
                "service.instance.id": instance,
            }
        )
        provider = TracerProvider(ParentBased(TraceIdRatioBased(share)), resource)
        provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(_with_path(endpoint), timeout=_EXPORT_SECONDS))
        )
        self._provider = provider
        self._tracer = provider.get_tracer("sightline")

    def begin(self, name: str, began_us: int, ended_us: int, attributes: Attributes) -> Headers:
        """A trace whose first span is over; no headers where it is not of the share."""
        span = self._tracer.start_span(
            name, Context(), attributes=dict(attributes), start_time=began_us * _NS
        )
        span.end(max(began_us, ended_us) * _NS)
        return _headers(span)

    @contextmanager
    def follow(self, name: str, headers: Headers, attributes: Attributes) -> Iterator[Headers]:
        """A span of the trace that headers name, until the end; nothing where they name none.

        An exception that escapes is noted, by its kind alone: its words may quote what it is about.
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
        """The same for what is over."""
        parent = _parent(headers)
        if parent is not None:
            span = self._tracer.start_span(
                name, parent, attributes=dict(attributes), start_time=began_us * _NS
            )
            span.end(ended_us * _NS)

    def close(self) -> None:
        """Send what is waiting, and no more."""
        self._provider.shutdown()

    def flush(self) -> None:
        """Send what is waiting."""
        self._provider.force_flush()


def _parent(headers: Headers) -> Context | None:
    """The span that a record's headers name."""
    carried = {
        name: value.decode("ascii", errors="replace") for name, value in headers if name in _NAMES
    }
    context = _CARRIED.extract(carried, Context()) if carried else None
    found = trace.get_current_span(context).get_span_context() if context else None
    return context if found and found.is_valid and found.trace_flags.sampled else None


def _headers(span: Span) -> Headers:
    if not span.get_span_context().trace_flags.sampled:
        return ()
    carrier: dict[str, str] = {}
    _CARRIED.inject(carrier, trace.set_span_in_context(span, Context()))
    return tuple((name, value.encode()) for name, value in carrier.items())


def _with_path(endpoint: str) -> str:
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH
