"""Traces: who takes part in one, what a span says, and that none of it is there when it is off."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.runtime import tracing
from sightline.runtime.headers import Headers
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import TracingSettings
from sightline.streaming.records import OutputRecord, Record, with_headers
from tests.collector import Collector, collecting
from tests.support import ROOT, environment

AT_US = 1_700_000_000_000_000


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found
    tracing.configure(Settings(home=Path("/nonexistent")), "test", "")


def configure(endpoint: str, share: float = 1.0) -> None:
    settings = Settings(
        home=Path("/nonexistent"), tracing=TracingSettings(endpoint=endpoint, sample_ratio=share)
    )
    tracing.configure(settings, "vision", "east-2")


def flush() -> None:
    assert tracing._spans is not None
    tracing._spans.flush()


def record(headers: Headers = ()) -> Record:
    return Record("frames.default", 3, 41, b"lobby", b"a face", 0, headers)


@pytest.mark.slow
def test_one_trace_goes_from_capture_to_row(collector: Collector) -> None:
    configure(collector.url)
    headers = tracing.begin_trace("lobby", AT_US, AT_US + 2_000)
    [(name, value)] = headers
    version, trace_id, _span_id, flags = value.decode().split("-")
    assert (name, version, int(flags, 16) & 1) == ("traceparent", "00", 1)
    with tracing.trace_processing(
        "vision", record((("retry-for", b"vision"), *headers))
    ) as onwards:
        pass
    tracing.trace_commit("access-log", record(onwards), AT_US + 5_000, AT_US + 9_000)
    flush()
    assert len(collector) == 3
    with collector._lock:
        capture, vision, row = (span for _service, span in collector._spans)
    assert {one.trace_id for one in (capture, vision, row)} == {bytes.fromhex(trace_id)}
    assert (vision.parent_span_id, row.parent_span_id) == (capture.span_id, vision.span_id)
    assert (capture.name, vision.name, row.name) == ("capture", "vision", "access-log")
    assert capture.start_time_unix_nano == AT_US * 1_000
    assert row.end_time_unix_nano - row.start_time_unix_nano == 4_000_000
    said = {one.key: one.value for one in vision.attributes}
    assert said["messaging.destination.name"].string_value == "frames.default"
    assert said["messaging.kafka.offset"].int_value == 41


@pytest.mark.slow
def test_a_failure_is_noted_without_its_words(collector: Collector) -> None:
    configure(collector.url)
    headers = tracing.begin_trace("lobby", AT_US, AT_US)
    with (
        pytest.raises(ValueError, match="Ada"),
        tracing.trace_processing("vision", record(headers)),
    ):
        raise ValueError("Ada Lovelace")
    flush()
    with collector._lock:
        [_capture, failed] = [span for _service, span in collector._spans]
    assert failed.status.message == "ValueError"
    assert b"Ada" not in failed.SerializeToString()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("retry-for", b"vision"), ("retry-of", b"7")),
        (("traceparent", b"00-nonsense"),),
        (("traceparent", b"\xff\xfe"),),
        (("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00"),),
    ],
)
def test_who_is_in_no_trace_begins_none(collector: Collector, headers: Headers) -> None:
    configure(collector.url)
    with tracing.trace_processing("vision", record(headers)) as onwards:
        assert onwards == ()
    tracing.trace_commit("access-log", record(headers), AT_US, AT_US)
    flush()
    assert len(collector) == 0


def test_a_share_of_frames_is_traced(collector: Collector) -> None:
    configure(collector.url, share=0.25)
    traced = sum(bool(tracing.begin_trace("lobby", AT_US, AT_US)) for _ in range(2_000))
    assert 350 < traced < 650
    configure(collector.url, share=0.0)
    assert tracing.begin_trace("lobby", AT_US, AT_US) == ()


OFF = """
import sys
from pathlib import Path
from sightline.runtime import tracing
from sightline.streaming.records import Record
from sightline.runtime.settings import load_settings
tracing.configure(load_settings(), "vision", "")
headers = (("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),)
with tracing.trace_processing("vision", Record("frames", 0, 0, None, b"", 0, headers)) as onwards:
    assert onwards == (), onwards
assert tracing.begin_trace("lobby", 0, 0) == ()
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""


@pytest.mark.slow
def test_off_there_is_no_header_and_nothing_is_imported(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", OFF], cwd=ROOT, env=environment(tmp_path), check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert said.stdout == "False\n"
    outs = [OutputRecord("faces", "site", b"", 0)]
    assert with_headers(outs, ()) is outs


def test_headers_come_besides_those_that_are_there() -> None:
    headers = (("retry-for", b"match"), ("retry-of", b"7"))
    [out] = with_headers(
        [OutputRecord("faces", "site", b"", 0, headers=headers)], (("traceparent", b"x"),)
    )
    assert out.headers == (*headers, ("traceparent", b"x"))
    again = Record("faces", 0, 0, None, b"", 0, out.headers)
    assert (again.retry_for, again.retry_of) == ("match", 7)
