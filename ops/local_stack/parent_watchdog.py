"""Watchdog that ends a child process with its parent, even if the parent is killed.

The parent holds one end of a pipe, and the kernel closes it however the parent dies.
"""

import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

_GRACE_SECONDS = 2.0


def watch_parent(parent: BaseProcess, shutdown_seconds: float) -> None:
    """Drain this process when its parent has ended, and kill it if that hangs.

    The process leads its own session, so the processes that it has started end with it.
    """

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(shutdown_seconds + _GRACE_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
