"""Lines of the logs: what they say, in both forms, and what they keep out."""

import base64
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from schemas import sightline_pb2 as pb
from sightline.runtime import log_redaction as cleaning
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.log import LogFormat, configure_logging, log_fields, set_level
from sightline.runtime.log_redaction import redact
from sightline.runtime.secrets import reveal_local
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.records import Record

log = logging.getLogger("tests.lines")

Lines = Callable[[], list[str]]

VECTOR = np.random.default_rng(1).normal(size=128).astype("<f4")
JPEG = b"\xff\xd8\xff\xe0" + np.random.default_rng(2).bytes(600)
PASSWORD = "kestrel-42-lantern"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[LogFormat], Lines]]:
    """Configures logging for a form; what was written since, line by line."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level

    def start(form: LogFormat) -> Lines:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        for handler in before:  # else they are closed
            root.removeHandler(handler)
        configure_logging("INFO", form, service="vision", instance="east-2")
        return lambda: stream.getvalue().splitlines()

    yield start
    root.handlers[:] = before
    root.setLevel(level)


def test_json_lines_say_where_they_are_from_and_what_they_are_about(
    logged: Callable[[LogFormat], Lines],
) -> None:
    lines = logged("json")
    with log_fields(camera="lobby"), log_fields(topic="frames.default", partition=0, offset=7):
        log.info("%s: up", "lobby", extra={"event": "e1", "camera": "door"})
    log.warning("alone")
    first, second = map(json.loads, lines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO", "logger": "tests.lines", "message": "lobby: up", "service": "vision",
        "instance": "east-2", "camera": "door", "topic": "frames.default", "partition": 0,
        "offset": 7, "event": "e1",
    }  # fmt: skip
    assert second.keys() == {"time", "level", "logger", "message", "service", "instance"}


def test_a_dead_letter_is_found_by_where_it_stood(logged: Callable[[LogFormat], Lines]) -> None:
    lines = logged("json")
    dead_letter(Record("faces", 3, 41, None, JPEG, 0), "match", PoisonRecord("no_vector"), 0)
    [line] = map(json.loads, lines())
    assert (line["topic"], line["partition"], line["offset"]) == ("faces", 3, 41)


def test_an_event_is_one_line_and_a_name_makes_no_second_one(
    logged: Callable[[LogFormat], Lines],
) -> None:
    lines = logged("json")
    _fail("first\nsecond", "failed for Ada\nERROR all is lost")
    [line] = map(json.loads, lines())
    assert "Traceback" in line["error"]
    assert "second" in line["error"]
    text = logged("text")
    log.info("enrolled %s", "Ada\r\nERROR all is lost")
    [line] = text()
    assert line.endswith("enrolled Ada\\r\\nERROR all is lost")


SECRETS: dict[str, Callable[[], Any]] = {
    "uri": lambda: log.info("cannot open rtsp://guard:%s@192.0.2.7/live", PASSWORD),
    "uri with @": lambda: log.info("cannot open rtsp://guard:x@%s/y@192.0.2.7/live", PASSWORD),
    "url in an error": lambda: _fail(f"could not connect: postgresql://sl:{PASSWORD}@db:5432/x"),
    "dsn": lambda: log.info("host=db user=sl password=%s dbname=x", PASSWORD),
    "json": lambda: log.info(json.dumps({"user": "sl", "password": PASSWORD})),
    "repr": lambda: log.info("%r", {"sasl_password": PASSWORD}),
    "header": lambda: log.info("Authorization: Bearer %s", PASSWORD),
    "api key": lambda: log.info("refused sl_4f2a_%s", PASSWORD.replace("-", "")),
    "settings": lambda: log.info("%s", SecretStr(PASSWORD)),
    "revealed": lambda: log.info("said %s, plainly", reveal_local(SecretStr(PASSWORD))),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_stay_out(
    kind: str,
    form: LogFormat,
    logged: Callable[[LogFormat], Lines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaning, "_registered_secrets", set())
    lines = logged(form)
    SECRETS[kind]()
    said = "\n".join(lines())
    assert "***" in said
    assert PASSWORD not in said
    assert PASSWORD.replace("-", "") not in said


OBSERVED = pb.FaceObservation(track_id="t", embedding=VECTOR.tobytes())
DATA: dict[str, Callable[[], Any]] = {
    "array": lambda: log.info("embedding %s", VECTOR),
    "written array": lambda: log.info(f"embedding {VECTOR}"),  # noqa: G004 - as somebody may
    "list": lambda: log.info("embedding %s", VECTOR.tolist()),
    "message": lambda: log.info("face %s", OBSERVED),
    "written message": lambda: log.info(f"face {OBSERVED}"),  # noqa: G004
    "picture": lambda: log.info("frame %s", JPEG),
    "written picture": lambda: log.info(f"frame {JPEG!r}"),  # noqa: G004
    "base64": lambda: log.info("body %s", base64.b64encode(JPEG).decode()),
    "hex": lambda: log.info("vector %s", VECTOR.tobytes().hex()),
    "error": lambda: _fail(f"cannot parse {JPEG!r}"),
    "extra": lambda: log.info("frame", extra={"picture": JPEG, "camera": "lobby"}),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("kind", DATA)
def test_vectors_and_pictures_stay_out(
    kind: str, form: LogFormat, logged: Callable[[LogFormat], Lines]
) -> None:
    lines = logged(form)
    DATA[kind]()
    said = "\n".join(lines())
    assert said
    assert len(said) < 600 + 500 * (kind == "error")  # a traceback
    for number in map(float, VECTOR[:4]):
        for written in (f"{number:.8f}", f"{number:.8e}", str(number)):
            assert written[:9] not in said
    for trace in (repr(JPEG)[8:24], base64.b64encode(JPEG).decode()[:20], JPEG.hex()[:20]):
        assert trace not in said


def test_what_operators_need_stays() -> None:
    for line in (
        "match: dead letter faces/3@41: no_vector: 17 numbers",
        "lobby: down: rtsp://192.0.2.7/stream does not answer within 5 s",
        "track 1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed at 0.1, 0.2, 0.3, 0.4",
        "session.timeout.ms=6000 took 0.25 s, 12 partitions, 4 taken over",
        "/opt/venv/lib/python3.11/site-packages/sightline/kafka/transform.py:120",
    ):
        assert redact(line) == line


def test_a_line_has_a_length() -> None:
    assert len(redact("x y " * 100_000)) < 10_000


def test_the_level_changes_at_once_and_libraries_stay_quiet(
    logged: Callable[[LogFormat], Lines],
) -> None:
    lines = logged("text")
    log.debug("before")
    set_level("DEBUG")
    log.debug("after")
    logging.getLogger("urllib3").info("chatter")
    assert [line.rpartition(" ")[2] for line in lines()] == ["after"]


def _fail(error: str, message: str = "failed") -> None:
    try:
        int(error)
    except ValueError as caught:
        caught.args = (error,)
        log.exception("%s", message)
