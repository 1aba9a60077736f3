"""Preloaded first by the forkserver that services are forked from (`forkserver.py`)."""

import gc
import os
import signal
from types import FrameType

import setproctitle

from ops.local_stack.service_registry import jobs, services

_OWN_PID = os.getpid()


def _on_sigterm(signal_number: int, _frame: FrameType | None) -> None:
    """Ignore SIGTERM in the forkserver; end as usual in a process forked a moment ago.

    A service manager may stop all processes at once, and the forkserver has to report how the
    others end.
    """
    if os.getpid() != _OWN_PID:
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)


setproctitle.setproctitle("sightline: what services are forked from")
signal.signal(signal.SIGTERM, _on_sigterm)

# Collecting garbage among objects that stay takes time, and writes to shared memory.
gc.disable()

# The registry is found once for all forks.
services()
jobs()
