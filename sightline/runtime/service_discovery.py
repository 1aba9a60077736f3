"""Service discovery: a file for each service process, as Prometheus's file_sd reads them.

A process holds the lock of its file for as long as it lives, as in `process_registry.py`:
containers may share a home, and a process id is valid on its own host alone.
"""

import atexit
import fcntl
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sightline.runtime.errors import SightlineError
from sightline.runtime.file_locks import lock
from sightline.runtime.settings import Settings

_LOOPBACK_PREFIXES = ("127.", "[::1]", "localhost")
_WILDCARD_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True)
class Target:
    """A running service process and its address."""

    service: str
    instance: str
    fleet: str
    run: str
    address: str
    """Host and port for other hosts."""

    @property
    def is_local(self) -> bool:
        """Tell whether the address is one of this host."""
        host = self.address.rpartition(":")[0]
        return host.startswith(_LOOPBACK_PREFIXES) or host == socket.gethostname()

    @property
    def local_address(self) -> str:
        """Host and port from this host; a service obeys requests over loopback alone."""
        host, _, port = self.address.rpartition(":")
        return f"127.0.0.1:{port}" if host == socket.gethostname() else self.address


def folder(home: Path) -> Path:
    """Return the folder of a home's target files; Prometheus reads its `*.json`."""
    return home / "run" / "targets"


def instance_of(settings: Settings) -> str:
    """Return the instance name of this process: the setting, else the host's name."""
    return settings.instance or socket.gethostname()


def announce(service: str, host: str, port: int, settings: Settings) -> None:
    """Publish the address of this process until it ends. Raises SightlineError."""
    instance = instance_of(settings)
    target = Target(service, instance, settings.fleet, settings.run, _address(host, port))
    path = folder(settings.home) / f"{service}-{instance}-{os.getpid()}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path.parent)
        handle = _written(path, _file_sd(target))
    except OSError as error:
        raise SightlineError(f"the home cannot be written: {error}") from error
    atexit.register(_remove, path, handle)


def targets(home: Path) -> list[Target]:
    """Return the running service processes of a home."""
    running = []
    for path in sorted(folder(home).glob("*.json")):
        try:
            with path.open() as file:
                if not _is_free(file):
                    running.append(_read(file))
        except FileNotFoundError:  # the process has just ended
            continue
    return running


def _address(host: str, port: int) -> str:
    """Return host and port for others: the host's name for a wildcard address."""
    shown = socket.gethostname() if host in _WILDCARD_ADDRESSES else host
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def _file_sd(target: Target) -> str:
    labels = {
        "service": target.service,
        "instance_name": target.instance,
        "fleet": target.fleet,
        "run": target.run,
    }
    return json.dumps([{"targets": [target.address], "labels": labels}])


def _read(file: IO[str]) -> Target:
    [group] = json.load(file)
    labels = group["labels"]
    return Target(
        labels["service"], labels["instance_name"], labels["fleet"], labels["run"],
        group["targets"][0],
    )  # fmt: skip


def _written(path: Path, text: str) -> IO[str]:
    """Write a whole file that is locked before others can read it; return its handle."""
    draft = path.with_suffix(".new")
    handle = lock(draft)
    # Others may read it if they may read its folder: Prometheus may run as another user.
    os.fchmod(handle.fileno(), path.parent.stat().st_mode & 0o644)
    handle.truncate(0)
    handle.write(text)
    handle.flush()
    draft.replace(path)
    return handle


def _remove_stale(parent: Path) -> None:
    for path in [*parent.glob("*.json"), *parent.glob("*.new")]:
        try:
            with path.open() as file:
                if _is_free(file):
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


def _is_free(file: IO[str]) -> bool:
    """Tell whether the writer has ended; its lock is held here then until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path, handle: IO[str]) -> None:
    path.unlink(missing_ok=True)
    handle.close()
