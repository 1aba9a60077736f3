"""Locks between processes: the kernel frees them when their holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def try_lock(path: Path) -> IO[str] | None:
    """Lock a file, made when it is not there: it is held until the result is closed.

    None when another process holds it.
    """
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock, after waiting for it."""
    with path.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
