"""Registry of a home's service processes: each holds the lock of a file that names it.

The kernel releases the lock when the process dies, so the name of a locked file is true. Containers
may share a home: a process id is valid on its own host alone.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import lock, try_lock
from sightline.runtime.settings import Settings

SUPERVISOR = "all"
"""Name of the supervisor among the services."""


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """Living service process."""

    name: str
    host: str
    pid: int

    @property
    def is_local(self) -> bool:
        """True if the process runs on this host."""
        return self.host == socket.gethostname()

    @property
    def process(self) -> psutil.Process:
        """Process of this id. Raises psutil.NoSuchProcess if it has just ended."""
        return psutil.Process(self.pid)


@contextmanager
def register_process(name: str, settings: Settings) -> Iterator[None]:
    """Register this process as a running service during the block."""
    path = _folder(settings) / f"{name}.{socket.gethostname()}.{os.getpid()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = lock(path)
    except OSError as error:
        raise SightlineError(f"the home cannot be written: {error}") from error
    with handle:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running_services(settings: Settings) -> list[ServiceProcess]:
    """Return every living service process of the home; files of dead ones are removed."""
    running = []
    for path in sorted(_folder(settings).glob("*.*.*")):
        name, _, location = path.name.partition(".")  # the host's name may have dots
        host, _, pid = location.rpartition(".")
        handle = try_lock(path)
        if handle is None:
            running.append(ServiceProcess(name, host, int(pid)))
        else:
            path.unlink(missing_ok=True)
            handle.close()
    return running


def _folder(settings: Settings) -> Path:
    return settings.home / "run"
