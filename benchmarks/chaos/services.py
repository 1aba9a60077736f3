"""Services as processes that are restarted at once when they end."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from ops.local_stack.forkserver import ONE_THREAD, fork, preload

_RESTART_SECONDS = 0.3
"""Time from an end to the next start."""

_LOOK_SECONDS = 0.05
_STOP_SECONDS = 20.0
"""A service drains within 10 s."""

BY_ITSELF, AT_A_PLACE = "by itself", "at a place"
"""Causes of an end without a signal from here."""


@dataclass(frozen=True, slots=True)
class Start:
    """A restart of a service."""

    slot: str
    cause: str  # of the end before it: a signal's name, AT_A_PLACE or BY_ITSELF
    died_at: float  # monotonic
    started_at: float


@dataclass(slots=True)
class Slot:
    """A slot for one process: `vision-2` is the second one of the service vision."""

    service: str
    instance: int
    is_enabled: bool = True
    process: BaseProcess | None = None
    cause: str | None = None
    """Signal that was sent last, if there was one."""
    start_at: float = 0.0
    died_at: float | None = None

    @property
    def name(self) -> str:
        """Name of the slot."""
        return f"{self.service}-{self.instance}"


@dataclass
class Services:
    """Keeper of processes that records every restart."""

    environment: Mapping[str, str]
    logs: Path
    starts: list[Start] = field(default_factory=list)
    slots: dict[str, Slot] = field(default_factory=dict)
    statuses: list[tuple[str, int, str]] = field(default_factory=list)
    """Unexpected ends with status and last log line."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, is_enabled: Mapping[str, int]) -> Iterator[None]:
        """Run processes of each service while inside."""
        self.logs.mkdir(exist_ok=True)
        preload(is_enabled)
        for service, count in is_enabled.items():
            self.scale(service, count)
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._over.set()
            keeper.join()
            self._stop_all()

    def scale(self, service: str, count: int) -> None:
        """Set the number of a service's processes; surplus ones are drained."""
        with self._lock:
            for instance in range(1, count + 1):
                slot = self.slots.setdefault(
                    f"{service}-{instance}", Slot(service, instance, is_enabled=False)
                )
                if not slot.is_enabled:
                    slot.is_enabled, slot.died_at, slot.start_at = True, None, time.monotonic()
            for slot in self.slots.values():
                if slot.service == service and slot.instance > count:
                    slot.is_enabled = False
                    self._send(slot, signal.SIGTERM)

    def send(self, name: str, number: signal.Signals) -> bool:
        """Send a signal; return False if the process does not run."""
        with self._lock:
            slot = self.slots[name]
            return slot.is_enabled and self._send(slot, number)

    def pids(self) -> dict[str, int]:
        """Return the running processes by slot."""
        with self._lock:
            return {
                name: slot.process.pid
                for name, slot in self.slots.items()
                if slot.process is not None
                and slot.process.pid is not None
                and slot.process.exitcode is None
            }

    def _send(self, slot: Slot, number: signal.Signals) -> bool:
        process = slot.process
        if process is None or process.pid is None or process.exitcode is not None:
            return False
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            slot.cause = number.name
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(process.pid, number)
        return True

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            with self._lock:
                for slot in self.slots.values():
                    self._update(slot)

    def _update(self, slot: Slot) -> None:
        now = time.monotonic()
        if slot.process is None:
            if slot.is_enabled and now >= slot.start_at:
                self._start(slot)
            return
        status = slot.process.exitcode
        if status is None:
            return
        slot.process = None
        slot.died_at, slot.start_at = now, now + _RESTART_SECONDS
        if slot.cause is None:
            # Only the code's own fault points send this signal.
            slot.cause = AT_A_PLACE if status == -signal.SIGKILL else BY_ITSELF
        if slot.cause == BY_ITSELF:
            self.statuses.append((slot.name, status, self._last_words(slot)))

    def _last_words(self, slot: Slot) -> str:
        lines = (self.logs / f"{slot.name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _start(self, slot: Slot) -> None:
        environment = {**self.environment, "SIGHTLINE_INSTANCE": str(slot.instance)}
        began = time.monotonic()
        slot.process = fork(
            "ops", ["run", slot.service], environment, self.logs / f"{slot.name}.log"
        )
        if slot.died_at is not None:
            cause = slot.cause or BY_ITSELF
            self.starts.append(Start(slot.name, cause, slot.died_at, began))
        slot.cause = None

    def _stop_all(self) -> None:
        for slot in self.slots.values():
            self._send(slot, signal.SIGCONT)
            self._send(slot, signal.SIGTERM)
        living = [slot.process for slot in self.slots.values() if slot.process is not None]
        until = time.monotonic() + _STOP_SECONDS
        for process in living:
            process.join(max(0.0, until - time.monotonic()))
            process.kill()
            process.join()


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Return the environment of services, without that of the user's own installation."""
    foreign = ("SIGHTLINE_", "KAFKA_", "DATABASE_URL", "S3_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    overrides = {
        "SIGHTLINE_HOME": str(home),
        "SIGHTLINE_API__PORT": "0",
        "SIGHTLINE_SINKS__PERSON_STATE_SECONDS": "1",  # its rows are to follow soon
    }
    return inherited | ONE_THREAD | overrides | extra


def service_of(name: str) -> str:
    """Return the service of a slot, `vision` of `vision-2`; brokers count as one too."""
    service, _, number = name.rpartition("-")
    return service if service and number.isdigit() else name
