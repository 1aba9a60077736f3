"""Loaded first by the process that services are forked from (`prefork`)."""

import gc
import os
import signal
from types import FrameType

import setproctitle

_OWN_PID = os.getpid()


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    """A service manager may tell all processes at once to stop; this one says how others end.

    A process forked a moment ago ends as any other would.
    """
    if os.getpid() != _OWN_PID:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


setproctitle.setproctitle("sightline: what services are forked from")
signal.signal(signal.SIGTERM, _on_sigterm)

# To look for garbage in what stays takes time, and writes to memory that is shared.
gc.disable()
