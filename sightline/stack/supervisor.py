"""Runs every service as a process of its own and keeps them running."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess

from sightline.lifecycle import Stop
from sightline.stack.prefork import fork, preload

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A service that has run so long and fails then is started again after the first pause."""

_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 2.0  # a child's own deadline starts a little later than ours


@dataclass(frozen=True, slots=True)
class Child:
    """What to run: a module, as `python -m` does."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    module: str = "sightline"


@dataclass(slots=True)
class _Slot:
    child: Child
    process: BaseProcess | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    done: bool = False


@dataclass
class Supervisor:
    """Starts children, starts failed ones again with growing pauses, and stops them all.

    A child that ends with status 0 is done and stays so. Children are started in sessions of
    their own, so that a terminal's Ctrl-C reaches the supervisor alone, which drains them.
    """

    children: Sequence[Child]
    monotonic: Callable[[], float] = time.monotonic
    _slots: list[_Slot] = field(init=False)

    def __post_init__(self) -> None:
        self._slots = [_Slot(child) for child in self.children]
        preload(child.name for child in self.children)

    def run(self, stop: Stop) -> bool:
        """Supervise until `stop` or until every child is done; False if one had to be killed."""
        try:
            while not stop and not all(slot.done for slot in self._slots):
                stop.beat()
                for slot in self._slots:
                    self._look_after(slot)
                stop.health.ready()
                stop.wait(_LOOK_SECONDS)
        finally:
            stop.request()
            drained = self._drain(stop)
        return drained

    def _look_after(self, slot: _Slot) -> None:
        now = self.monotonic()
        if slot.process is None:
            if not slot.done and now >= slot.start_at:
                self._start(slot, now)
            return
        status = slot.process.exitcode
        if status is None:
            return
        _kill_group(slot.process)
        slot.process = None
        if status == 0:
            log.info("%s: done", slot.child.name)
            slot.done = True
            return
        if now - slot.started_at >= HEALTHY_SECONDS:
            slot.pause = FIRST_PAUSE_SECONDS
        _fail(slot, now, f"ended with {_said(status)}")

    def _start(self, slot: _Slot, now: float) -> None:
        child = slot.child
        try:
            slot.process = fork(child.module, child.arguments, child.environment)
        except (OSError, EOFError) as error:
            _fail(slot, now, f"could not be started ({error or type(error).__name__})")
            return
        slot.started_at = now
        log.info("%s: started, process %d", child.name, slot.process.pid)

    def _drain(self, stop: Stop) -> bool:
        living = [slot.process for slot in self._slots if slot.process is not None]
        for process in living:
            process.terminate()
        until = time.monotonic() + stop.remaining() + _GRACE_SECONDS
        drained = True
        for process in living:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                drained = False
                log.warning("process %d did not drain in time and is killed", process.pid)
            _kill_group(process)
            process.join()
        return drained


def _fail(slot: _Slot, now: float, why: str) -> None:
    slot.start_at = now + slot.pause
    log.warning("%s: %s, starts again in %.0f s", slot.child.name, why, slot.pause)
    slot.pause = min(2 * slot.pause, LONGEST_PAUSE_SECONDS)


def _kill_group(process: BaseProcess) -> None:
    """End whatever a child has left in its session; itself, where nobody can say how it ended."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _said(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
