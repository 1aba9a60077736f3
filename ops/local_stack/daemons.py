"""Daemons: started in a session of their own, and found again by their command line.

A remembered process id may belong to another process after a power cut, so none is remembered: a
daemon's command line names a file of its home.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import PRIVATE_UMASK, open_private

_POLL_SECONDS = 0.05
_ERROR_PATTERN = re.compile(r"\b(error|FATAL)\b|ERROR|Exception")


def find(matches: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """Return the living processes whose command line matches."""
    # psutil gives all threads the same objects: `info`, another thread's search overwrites.
    return [process for process in psutil.process_iter() if matches(command_line(process))]


def command_line(process: psutil.Process) -> list[str]:
    """Return a process's command line; an empty list if it has ended, or may not be read."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie raises the first, too
        return []


def spawn(
    command: Sequence[str],
    log: Path,
    user: str | None = None,
    cwd: Path = Path("/"),
    env: Mapping[str, str] | None = None,
) -> psutil.Process:
    """Start a daemon, optionally as another system user; its output goes to `log`.

    The log and all files that the daemon creates are readable by their owner alone.
    """
    with open(log, "w", opener=open_private) as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            umask=PRIVATE_UMASK,
        )
    return psutil.Process(process.pid)


def is_alive(process: psutil.Process) -> bool:
    """Return True if a process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(
    processes: Sequence[psutil.Process], signal_number: int, seconds: float
) -> list[psutil.Process]:
    """Send a signal, and kill and return the processes that still run after `seconds`."""
    for process in processes:
        _send_signal(process, signal_number)
    killed = _still_running(processes, seconds)
    for process in killed:
        _send_signal(process, signal.SIGKILL)
    _still_running(killed, seconds)
    return killed


def _still_running(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return the processes that still run after at most `seconds`; a zombie does not count."""
    until = time.monotonic() + seconds
    while (living := [process for process in processes if is_alive(process)]) and (
        time.monotonic() < until
    ):
        time.sleep(_POLL_SECONDS)
    return living


def _send_signal(process: psutil.Process, signal_number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal_number)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wait_until(
    ready: Callable[[], bool], process: psutil.Process, seconds: float, log: Path, title: str
) -> None:
    """Wait until a daemon answers. Raises SightlineError with its last line of log."""
    until = time.monotonic() + seconds
    while not ready():
        if not is_alive(process):
            raise SightlineError(f"{title} did not start: {_last_error(log)}")
        if time.monotonic() > until:
            raise SightlineError(f"{title} does not answer within {seconds:.0f} s; see {log}")
        time.sleep(_POLL_SECONDS)


def remove_drafts(folder: Path) -> None:
    """Remove data folders that an interrupted `up` has left."""
    for draft in folder.glob("data-*"):
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink()


def error_line(output: str) -> str:
    """Return the last line of a program's output that reports an error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if _ERROR_PATTERN.search(line)]
    return (marked or lines or ["no output"])[-1]


def _last_error(log: Path) -> str:
    return f"{error_line(log.read_text(errors='replace'))} ({log})"
