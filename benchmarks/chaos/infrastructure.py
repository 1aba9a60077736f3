"""Faults of brokers and the database, and their restart after they have ended."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import psutil

from benchmarks.chaos.plan import (
    CUT,
    DATABASE,
    FULL,
    REFUSED,
    SILENT,
    STOP,
    TERM,
    Fault,
    broker_name,
)
from benchmarks.chaos.rig import Rig
from benchmarks.rig import wait_for
from ops.local_stack.broker import Broker
from ops.local_stack.daemons import is_alive
from ops.local_stack.database import Database
from sightline.runtime.errors import SightlineError

_LOOK_SECONDS = 0.5
_SMART_SECONDS = 4.0
"""PostgreSQL waits after a SIGTERM for its clients, which stay: a SIGINT follows after this."""

_END_TIMEOUT_SECONDS = 20.0


@dataclass(slots=True)
class _Daemon:
    """A broker or the database."""

    name: str
    find: Callable[[], list[psutil.Process]]
    start: Callable[[], object]
    process: psutil.Process | None = None
    away_since: float | None = None

    def family(self) -> list[psutil.Process]:
        """Return the main process and its descendants."""
        process = self.alive()
        return [] if process is None else [process, *process.children(recursive=True)]

    def alive(self) -> psutil.Process | None:
        """Return the main process; None if it does not run."""
        if self.process is None or not is_alive(self.process):
            processes = self.find()
            self.process = processes[0] if processes else None
        return self.process


@dataclass
class Infrastructure:
    """Keeper of brokers and the database that restarts them and injects faults into them."""

    rig: Rig
    outages: list[tuple[str, float, float]] = field(default_factory=list)
    """Disturbed targets with start and end (monotonic seconds) until they answered again."""
    _daemons: dict[str, _Daemon] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _keepers: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Infrastructure":
        home, ports = self.rig.settings.home, self.rig.ports
        for node in range(1, len(ports.kafka) + 1):
            broker = Broker(home, node)
            self._add(broker_name(node), broker.running, partial(broker.start, ports))
        database = Database(home)
        self._add(DATABASE, database.running, partial(database.start, ports))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for keeper in self._keepers:
            keeper.join()

    def _add(
        self, name: str, find: Callable[[], list[psutil.Process]], start: Callable[[], object]
    ) -> None:
        daemon = _Daemon(name, find, start)
        self._daemons[name] = daemon
        keeper = threading.Thread(target=self._keep, args=(daemon,), name=f"keeper of {name}")
        keeper.start()
        self._keepers.append(keeper)

    def _keep(self, daemon: _Daemon) -> None:
        """Start the daemon whenever it does not run."""
        while not self._over.wait(_LOOK_SECONDS):
            if daemon.alive() is not None:
                continue
            away_since = time.monotonic()
            try:
                daemon.start()
            except (SightlineError, OSError, psutil.Error):
                continue  # its disk is full: it is tried again
            self.outages.append((daemon.name, away_since, time.monotonic()))

    def hit(self, fault: Fault) -> bool:
        """Inject a fault and wait until it is over; return False if there is no target."""
        began = time.monotonic()
        try:
            return self._hit(fault)
        finally:
            self.outages.append((fault.target, began, time.monotonic()))

    def _hit(self, fault: Fault) -> bool:
        if fault.how == FULL:
            disk = self.rig.disks[fault.target]
            disk.fill()
            self._over.wait(fault.seconds)
            disk.relieve()
            return True
        if fault.how in (CUT, REFUSED, SILENT):
            return self._cut(fault)
        return self._signal(self._daemons[fault.target], fault)

    def _cut(self, fault: Fault) -> bool:
        proxies, proxy = self.rig.proxies, self.rig.proxies_by_target[fault.target]
        if fault.how == CUT:
            return proxies.cut(proxy) > 0
        switch: Callable[[bool], None] = (
            (lambda on: proxies.refuse(proxy, refuses=on))
            if fault.how == REFUSED
            else (lambda on: proxies.silence(proxy, silent=on))
        )
        switch(True)
        self._over.wait(fault.seconds)
        switch(False)
        return True

    def _signal(self, daemon: _Daemon, fault: Fault) -> bool:
        family = daemon.family()
        if not family:
            return False
        if fault.how == STOP:
            _send(family, signal.SIGSTOP)
            self._over.wait(fault.seconds)
            _send(family, signal.SIGCONT)
            return True
        main = family[:1]
        _send(main, signal.Signals[fault.how])
        if fault.how == TERM and daemon.name == DATABASE:
            self._over.wait(_SMART_SECONDS)
            _send(main, signal.SIGINT)
        wait_for(lambda: not is_alive(main[0]), _END_TIMEOUT_SECONDS)
        return True


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
