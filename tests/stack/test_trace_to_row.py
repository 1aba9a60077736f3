"""One trace from a camera's frame to the row that rests on it, through real services."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from schemas.topics import FACES, SIGHTINGS, TRACKS
from sightline.runtime import tracing
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import TracingSettings
from sightline.storage.db import connect
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord, Record
from sinks.access_log import AccessLog
from tests.collector import Collector, collecting
from tests.match_support import Walk, worker
from tests.stack.camera_support import add_camera, frames_of, make_film, remove_camera, serving
from tests.stack.sinks_support import at_work
from tests.support import environment, eventually, program, read_topic, sightline_command

pytestmark = pytest.mark.stack

CAMERA, SITE = "trace-cam", "trace-site"


@pytest.fixture
def collector(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """What this process traces goes there, and what others are told to."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # ms; 5 s if nobody says so
    with collecting() as found:
        traced = TracingSettings(endpoint=found.url, sample_ratio=1.0)
        tracing.configure(stack.model_copy(update={"tracing": traced}), "test", "1")
        yield found
        tracing.configure(stack, "test", "1")


@contextmanager
def vision(stack: Settings, log: Path, **env: str) -> Iterator[None]:
    """The fleet's vision worker."""
    env = environment(stack.home, SIGHTLINE_FLEET="trace", SIGHTLINE_PACK="dlib", **env)
    with program(sightline_command("run", "vision"), log, env=env) as process:
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(120) == 0, log.read_text()


def parent_of(record: Record) -> list[str]:
    """Version, trace, span and flags."""
    [value] = [value for name, value in record.headers if name == "traceparent"]
    return value.decode().split("-")


def test_one_trace_goes_from_capture_to_row(
    stack: Settings, tmp_path: Path, collector: Collector
) -> None:
    camera = add_camera(stack, CAMERA, str(make_film(tmp_path / "film.avi", 4)), "trace")
    env = {
        "SIGHTLINE_TRACING__ENDPOINT": collector.url,
        "SIGHTLINE_TRACING__SAMPLE_RATIO": "0",  # the parent decides
    }
    walk = Walk(61, CAMERA, SITE)

    def mine(topic: str, key: str) -> list[Record]:
        return [one for one in read_topic(stack, topic) if one.key == key.encode()]

    with ExitStack() as services:
        services.callback(remove_camera, stack, CAMERA)
        services.enter_context(vision(stack, tmp_path / "vision.log", **env))
        services.enter_context(worker(stack, tmp_path, **env))
        with serving(stack):
            frames = eventually(lambda: frames_of(stack, camera))
        assert len({parent_of(frame)[1] for frame in frames}) == len(frames)
        trace = parent_of(frames[0])[1]
        seen = eventually(lambda: mine(TRACKS.name, CAMERA))[0]
        assert parent_of(seen)[1] == trace
        # Nobody is in the film: what vision would say of somebody, with the headers it gave.
        producer = CheckedProducer(producer_config(stack, "test"))
        for event in walk.whole():
            headers = (("retry-for", b"match"), *seen.headers)
            producer.send(
                OutputRecord(FACES.name, SITE, event.SerializeToString(), 0, headers=headers)
            )
        producer.flush(60)
        sightings = eventually(lambda: mine(SIGHTINGS.name, SITE))
        assert {parent_of(one)[1] for one in sightings} == {trace}
        with at_work(stack, [AccessLog(stack)]):
            eventually(lambda: rows(stack))
        # While they are there: who is killed sends no spans any more.
        told = {"capture", "vision", "match", "access-log"}
        eventually(lambda: told <= collector.spans(trace).keys())
    spans = collector.spans(trace)
    assert spans["vision"].parent_span_id == spans["capture"].span_id
    assert spans["match"].parent_span_id == spans["vision"].span_id
    with connect(stack) as db:
        db.execute("DELETE FROM access_logs WHERE site_id = %s", (SITE,))


def rows(stack: Settings) -> int:
    with connect(stack) as db:
        query = "SELECT count(*) FROM access_logs WHERE site_id = %s"
        found = db.execute(query, (SITE,)).fetchone()
    return int(found[0]) if found else 0
