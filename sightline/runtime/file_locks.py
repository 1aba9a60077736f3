"""File locks between processes: the kernel releases them when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def try_lock(path: Path) -> IO[str] | None:
    """Lock a file, created if absent, until the returned handle is closed.

    Returns None if another process holds the lock.
    """
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def lock(path: Path) -> IO[str]:
    """Wait for the lock of a file, created if absent; it is held until the handle is closed."""
    while True:
        handle = path.open("a+")
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_at(handle, path):
            return handle
        handle.close()


def _is_at(handle: IO[str], path: Path) -> bool:
    """Return True if an open file is still the file at a path.

    The previous holder of the lock may have removed it.
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for a lock, and hold it during the block."""
    with lock(path):
        yield
