"""Fault injection: points where a service can be killed, to prove that no record is lost there.

Off unless the setting `fault_injection` names a folder. When a service reaches a point for which
the folder has a file `<service>.<point>`, the file is removed and the process killed by SIGKILL.
"""

import logging
import os
import signal
from enum import StrEnum
from pathlib import Path

log = logging.getLogger(__name__)


class FaultPoint(StrEnum):
    """Fault-injection points."""

    BEFORE_PRODUCE = "before-produce"
    """Records are processed, nothing is produced."""
    BEFORE_COMMIT = "before-commit"
    """Everything is produced, nothing is committed."""
    BEFORE_STATE = "before-state"
    """Outputs are in Kafka, the state that belongs to them is not."""
    BEFORE_OFFSET = "before-offset"
    """Rows are written, the offset that belongs to them is not."""
    AFTER_COMMIT = "after-commit"
    """Everything is committed, nothing more has been done."""
    IN_RECOVERY = "in-recovery"
    """A worker has taken partitions over and has not restored their state yet."""
    ROWS_ERASED = "rows-erased"
    """A person's rows are erased, their objects and records are not."""
    OBJECTS_ERASED = "objects-erased"
    """A person's objects are erased too, and no matcher has been notified."""
    MATCHERS_FORGOT = "matchers-forgot"
    """A person is erased everywhere, and there is no report yet."""


_armed: tuple[Path, str] | None = None


def arm_fault_points(folder: Path | None, service: str) -> None:
    """Inject the faults that a folder has for a service from now on; None injects none."""
    global _armed  # noqa: PLW0603 - one service to a process
    _armed = None if folder is None else (folder, service)


def fault_point(point: FaultPoint) -> None:
    """Kill the process if a fault is armed at this point."""
    if _armed is None:
        return
    folder, service = _armed
    try:
        (folder / f"{service}.{point}").unlink()
    except FileNotFoundError:
        return
    log.warning("%s: dies %s by fault injection", service, point)
    os.kill(os.getpid(), signal.SIGKILL)
