"""Injection of faults, each in a thread of its own, so that several may overlap."""

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.infrastructure import Infrastructure
from benchmarks.chaos.plan import SCALE, SIGNALS, STOP, TERM, WORKERS, Fault
from benchmarks.chaos.rig import Rig
from benchmarks.chaos.services import Services, service_of
from benchmarks.rig import wait_for
from sightline.runtime.fault_injection import FaultPoint

_REACH_TIMEOUT_SECONDS = 20.0
"""A fault point that was not reached in this time is withdrawn: this load does not reach it."""

_DRAIN_SECONDS = 15.0

DONE, NOBODY, NOT_REACHED, NOT_DRAINED = "done", "nobody there", "not reached", "did not drain"


@dataclass
class Trouble:
    """Injector of faults that records the outcome of each."""

    rig: Rig
    services: Services
    infrastructure: Infrastructure
    outcomes: list[tuple[Fault, str]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self, faults: Sequence[Fault]) -> None:
        """Inject all faults at their times; return when the last one is over."""
        began = time.monotonic()
        threads = []
        for fault in faults:
            if self._over.wait(max(0.0, began + fault.at - time.monotonic())):
                break
            thread = threading.Thread(target=self._inject, args=(fault,), name=str(fault))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Inject no more faults."""
        self._over.set()

    def _inject(self, fault: Fault) -> None:
        self.outcomes.append((fault, self._inflict(fault)))

    def _inflict(self, fault: Fault) -> str:
        if fault.how == SCALE:
            return self._scale(fault)
        if fault.target not in self.services.slots:
            return DONE if self.infrastructure.hit(fault) else NOBODY
        if fault.how in SIGNALS:
            return self._signal(fault)
        return self._place(fault, FaultPoint(fault.how))

    def _scale(self, fault: Fault) -> str:
        usual = WORKERS["vision"]
        for count in (1, 3, 1, usual):
            self.services.scale("vision", count)
            self._over.wait(fault.seconds / 3)
        return DONE

    def _signal(self, fault: Fault) -> str:
        number = signal.Signals[fault.how]
        before = self.services.pids().get(fault.target)
        if before is None or not self.services.send(fault.target, number):
            return NOBODY
        if fault.how == STOP:
            self._over.wait(fault.seconds)
            self.services.send(fault.target, signal.SIGCONT)
        if fault.how == TERM and not self._has_ended(fault.target, before):
            self.services.send(fault.target, signal.SIGKILL)
            return NOT_DRAINED
        return DONE

    def _has_ended(self, slot: str, pid: int) -> bool:
        return wait_for(lambda: self.services.pids().get(slot) != pid, _DRAIN_SECONDS)

    def _place(self, fault: Fault, place: FaultPoint) -> str:
        """Kill the service's first process that reaches a fault point in its code."""
        service = service_of(fault.target)
        file = self.rig.faults / f"{service}.{place}"
        file.touch()
        before = self.services.pids()
        if place is FaultPoint.IN_RECOVERY:
            self.services.send(fault.target, signal.SIGKILL)
            self._has_ended(fault.target, before.get(fault.target, 0))
        if wait_for(lambda: not file.exists(), _REACH_TIMEOUT_SECONDS):
            return DONE
        file.unlink(missing_ok=True)
        return NOT_REACHED
