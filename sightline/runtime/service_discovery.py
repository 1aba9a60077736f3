"""Where each service process answers: a file for each, as Prometheus's file_sd reads them.

A process holds the lock of its file for as long as it lives, as in `stack/running.py`: containers
may share a home, and a process id means something on its own host alone.
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

_LOOPBACK = ("127.", "[::1]", "localhost")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, slots=True)
class Target:
    """A living service process and where it answers."""

    service: str
    instance: str
    fleet: str
    run: str
    address: str
    """Host and port, as others find it."""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host, as far as its address tells."""
        host = self.address.rpartition(":")[0]
        return host.startswith(_LOOPBACK) or host == socket.gethostname()

    @property
    def near(self) -> str:
        """Host and port for this host: a service changes its ways for nobody else."""
        host, _, port = self.address.rpartition(":")
        return f"127.0.0.1:{port}" if host == socket.gethostname() else self.address


def folder(home: Path) -> Path:
    """Where the files are; Prometheus reads `*.json` in it."""
    return home / "run" / "targets"


def instance_of(settings: Settings) -> str:
    """Which of several equal processes this is: as the settings say, or by its host's name."""
    return settings.instance or socket.gethostname()


def announce(service: str, host: str, port: int, settings: Settings) -> None:
    """Say until this process ends where it answers. Raises SightlineError."""
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
    """Every process that has said where it answers and still lives."""
    found = []
    for path in sorted(folder(home).glob("*.json")):
        try:
            with path.open() as file:
                if not _is_free(file):
                    found.append(_read(file))
        except FileNotFoundError:  # it has just ended
            continue
    return found


def _address(host: str, port: int) -> str:
    """As others are to ask for it: who listens everywhere is found by its host's name."""
    shown = socket.gethostname() if host in _EVERYWHERE else host
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
    [said] = json.load(file)
    labels = said["labels"]
    return Target(
        labels["service"], labels["instance_name"], labels["fleet"], labels["run"],
        said["targets"][0],
    )  # fmt: skip


def _written(path: Path, text: str) -> IO[str]:
    """The file, locked before anybody can read it, and whole."""
    draft = path.with_suffix(".new")
    handle = lock(draft)
    # As open as its folder: a container's Prometheus is another user than its services.
    os.fchmod(handle.fileno(), path.parent.stat().st_mode & 0o644)
    handle.truncate(0)
    handle.write(text)
    handle.flush()
    draft.replace(path)
    return handle


def _remove_stale(place: Path) -> None:
    for path in [*place.glob("*.json"), *place.glob("*.new")]:
        try:
            with path.open() as file:
                if _is_free(file):
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


def _is_free(file: IO[str]) -> bool:
    """Whether its process is dead; then the lock is ours until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path, handle: IO[str]) -> None:
    path.unlink(missing_ok=True)
    handle.close()
