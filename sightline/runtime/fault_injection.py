"""Places where a service can be made to die, to prove that dying there loses nothing.

Off unless the setting `faults` names a folder. A file `<service>.<place>` in it is removed, and
the process killed as by `kill -9`, when the service comes to that place the next time.
"""

import logging
import os
import signal
from enum import StrEnum
from pathlib import Path

log = logging.getLogger(__name__)


class Place(StrEnum):
    """Where it may be."""

    BEFORE_PRODUCE = "before-produce"
    """The work is done, nothing is sent."""
    BEFORE_COMMIT = "before-commit"
    """Everything is sent, nothing is committed."""
    BEFORE_STATE = "before-state"
    """Outputs are in Kafka, the state that goes with them is not."""
    BEFORE_OFFSET = "before-offset"
    """Rows are written, the offset that goes with them is not."""
    AFTER_COMMIT = "after-commit"
    """All is committed, nothing more has been done."""
    IN_RECOVERY = "in-recovery"
    """A worker has taken work over and has not caught up yet."""
    ROWS_ERASED = "rows-erased"
    """A person's rows are gone, their pictures and what topics have of them are not."""
    OBJECTS_ERASED = "objects-erased"
    """Their pictures are gone too, and nobody has been told."""
    MATCHERS_FORGOT = "matchers-forgot"
    """All has been done, and there is no report of it."""


_armed: tuple[Path, str] | None = None


def arm(folder: Path | None, service: str) -> None:
    """Look for faults of a service in a folder from now on; None: nowhere."""
    global _armed  # noqa: PLW0603 - one service to a process
    _armed = None if folder is None else (folder, service)


def reach(place: Place) -> None:
    """Die here if that was asked for."""
    if _armed is None:
        return
    folder, service = _armed
    try:
        (folder / f"{service}.{place}").unlink()
    except FileNotFoundError:
        return
    log.warning("%s: dies %s, as asked", service, place)
    os.kill(os.getpid(), signal.SIGKILL)
