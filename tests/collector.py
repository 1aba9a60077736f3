"""An OpenTelemetry collector for tests: what it was sent, as it came over HTTP."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Span = Any
"""An opentelemetry.proto.trace.v1.trace_pb2.Span, whose package has no types."""


class Collector(ThreadingHTTPServer):
    """Keeps the spans of each service."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._spans: list[tuple[str, Span]] = []

    @property
    def url(self) -> str:
        """Where services send their spans."""
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep what has come."""
        with self._lock:
            for sent in request.resource_spans:
                said = {one.key: one.value.string_value for one in sent.resource.attributes}
                for scope in sent.scope_spans:
                    self._spans += [(said["service.name"], span) for span in scope.spans]

    def spans(self, trace_id: str) -> dict[str, Span]:
        """Of a trace (hexadecimal) the spans that have come, by their names."""
        with self._lock:
            mine = [span for _, span in self._spans if span.trace_id.hex() == trace_id]
        return {span.name: span for span in mine}

    def __len__(self) -> int:
        with self._lock:
            return len(self._spans)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        assert self.path == "/v1/traces"
        self.server.take(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Tests say what matters."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector while inside."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()
