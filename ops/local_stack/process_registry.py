"""Which service processes a home has: each holds the lock of a file that names it.

The kernel frees the lock when the process dies, however it dies, so the name of a locked file
is true. Containers may share a home: a process id means something on its own host alone.
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
"""What the supervisor calls itself among the services."""


@dataclass(frozen=True, slots=True)
class Running:
    """A living service process."""

    name: str
    host: str
    pid: int

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host."""
        return self.host == socket.gethostname()

    @property
    def process(self) -> psutil.Process:
        """The process. Raises psutil.NoSuchProcess when it has just ended."""
        return psutil.Process(self.pid)


@contextmanager
def registered(name: str, settings: Settings) -> Iterator[None]:
    """While inside, this process is known as a running service."""
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


def running_services(settings: Settings) -> list[Running]:
    """Every living service process of the home; files of dead ones are removed."""
    found = []
    for path in sorted(_folder(settings).glob("*.*.*")):
        name, _, place = path.name.partition(".")  # a host's name may have dots
        host, _, pid = place.rpartition(".")
        handle = try_lock(path)
        if handle is None:
            found.append(Running(name, host, int(pid)))
        else:
            path.unlink(missing_ok=True)
            handle.close()
    return found


def _folder(settings: Settings) -> Path:
    return settings.home / "run"
