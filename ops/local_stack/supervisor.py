"""Supervisor: run every service as a process of its own, and restart failed ones."""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ops.local_stack.forkserver import fork, preload, reason_pipe
from ops.local_stack.supervisor_report import DOWN, RESTARTING, STARTING, UP, SupervisedProcess
from sightline.runtime import metrics
from sightline.runtime.lifecycle import Stop

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0
"""A service that fails after so long a run is restarted after the first pause."""

MANY_FAILURES = 2
"""Failures in a row, without `HEALTHY_SECONDS` between them, that count as repeated."""

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 2.0  # a child's own deadline starts a little later


@dataclass(frozen=True, slots=True)
class Child:
    """Process to run: a module, as with `python -m`."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    module: str = "ops"
    instance: str = ""
    """Name among several equal workers."""


@dataclass(slots=True)
class _Slot:
    child: Child
    process: BaseProcess | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    done: bool = False
    reason: Connection | None = None
    """Pipe on which the process sends the error line with which it fails."""
    failures: int = 0
    """Failures in a row, without `HEALTHY_SECONDS` between them."""
    ended_at: float = 0.0
    ended: str = ""
    """End of the last process, such as `ended with status 1`."""
    last_words: str = ""

    def state(self, now: float) -> SupervisedProcess:
        """Return the state at a moment of the supervisor's clock; from any thread."""
        child, process = self.child, self.process  # another thread may change them
        state, detail = self._state_of(now, process)
        pid = None if process is None else process.pid
        return SupervisedProcess(
            child.name, child.instance, socket.gethostname(), pid, state, detail
        )

    def _state_of(self, now: float, process: BaseProcess | None) -> tuple[str, str]:
        repeats = f" ({self.failures} times in a row)" if self.failures > 1 else ""
        reason = f": {self.last_words}" if self.last_words else ""
        if process is not None:
            age = now - self.started_at
            if self.failures < MANY_FAILURES or age >= HEALTHY_SECONDS:
                return UP, ""
            return RESTARTING, f"started {age:.0f} s ago, before that {self.ended}{repeats}{reason}"
        if not self.ended:
            return STARTING, ""
        ended = f"{self.ended} {now - self.ended_at:.0f} s ago{repeats}"
        if self.done:
            return DOWN, f"{ended}, is not started again"
        return DOWN, f"{ended}, starts again in {max(0.0, self.start_at - now):.0f} s{reason}"


@dataclass
class Supervisor:
    """Starts children, restarts failed ones with growing pauses, and stops them all.

    A child that ends with status 0 is done and not started again. Children are started in sessions
    of their own, so that a terminal's Ctrl-C reaches the supervisor alone, which drains them.
    """

    children: Sequence[Child]
    monotonic: Callable[[], float] = time.monotonic
    _slots: list[_Slot] = field(init=False)

    def __post_init__(self) -> None:
        self._slots = [_Slot(child) for child in self.children]
        for slot in self._slots:
            labels = slot.child.name, slot.child.instance
            metrics.SERVICE_DOWN.labels(*labels).set_function(partial(self._is_down, slot))
            metrics.SERVICE_RESTARTS.labels(*labels)  # exports the value 0 too
        preload(child.name for child in self.children)

    def run(self, stop: Stop) -> bool:
        """Supervise until `stop` or until every child is done; False if one had to be killed."""
        try:
            while not stop.is_set() and not all(slot.done for slot in self._slots):
                stop.beat()
                for slot in self._slots:
                    self._supervise(slot)
                stop.health.mark_ready()
                stop.wait(_POLL_SECONDS)
        finally:
            stop.request()
            drained = self._drain(stop)
        return drained

    def page(self) -> dict[str, Any]:
        """Return the state of every child, in the order of `children`; from any thread."""
        now = self.monotonic()
        return {"services": [asdict(slot.state(now)) for slot in self._slots]}

    def _is_down(self, slot: _Slot) -> float:
        return slot.state(self.monotonic()).is_failing

    def _supervise(self, slot: _Slot) -> None:
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
        slot.last_words = _read_reason(slot.reason)
        if now - slot.started_at >= HEALTHY_SECONDS:
            slot.pause, slot.failures = FIRST_PAUSE_SECONDS, 0
        if status == 0:
            log.info("%s: done", slot.child.name)
            slot.ended, slot.ended_at, slot.done = "ended with status 0", now, True
            return
        _note_failure(slot, now, f"ended with {_exit_text(status)}")

    def _start(self, slot: _Slot, now: float) -> None:
        child = slot.child
        if slot.ended:
            metrics.SERVICE_RESTARTS.labels(child.name, child.instance).inc()
        try:
            slot.reason, reason = reason_pipe()
            with reason:  # the child has its own copy of this end
                process = fork(child.module, child.arguments, child.environment, reason=reason)
        except (OSError, EOFError) as error:
            slot.last_words = str(error) or type(error).__name__
            _note_failure(slot, now, "could not be started")
            return
        slot.started_at = now
        slot.process = process
        log.info("%s: started, process %d", child.name, process.pid)

    def _drain(self, stop: Stop) -> bool:
        living = [slot.process for slot in self._slots if slot.process is not None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + stop.remaining_seconds() + _GRACE_SECONDS
        drained = True
        for process in living:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                drained = False
                log.warning("process %d did not drain in time and is killed", process.pid)
            _kill_group(process)
            process.join()
        return drained


def _note_failure(slot: _Slot, now: float, ended: str) -> None:
    slot.start_at = now + slot.pause
    slot.ended, slot.ended_at = ended, now
    slot.failures += 1
    why = f" ({slot.last_words})" if slot.last_words else ""
    log.warning("%s: %s%s, starts again in %.0f s", slot.child.name, ended, why, slot.pause)
    slot.pause = min(2 * slot.pause, LONGEST_PAUSE_SECONDS)


def _read_reason(reason: Connection | None) -> str:
    """Return the reason that an ended process has sent; empty if it has sent none."""
    if reason is None:
        return ""
    with reason:
        try:
            return reason.recv_bytes().decode(errors="replace") if reason.poll() else ""
        except (EOFError, OSError):
            return ""


def _kill_group(process: BaseProcess) -> None:
    """Kill the processes that a child has left in its session, and the child if it still runs."""
    if process.pid is None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _exit_text(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
