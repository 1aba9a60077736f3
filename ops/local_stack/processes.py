"""Daemons: started in a session of their own, and found again by what they run.

A remembered process id may belong to somebody else after a power cut, so none is remembered:
a daemon's command line names a file of its home, and that is what is looked for.
"""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from sightline.runtime.errors import SightlineError
from sightline.runtime.private_files import PRIVATE_UMASK, private

_PAUSE_SECONDS = 0.05
_WRONG = re.compile(r"\b(error|FATAL)\b|ERROR|Exception")


def find(wanted: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """The living processes whose command line is the wanted one."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and wanted(process.info["cmdline"] or [])
    ]


def spawn(command: Sequence[str], log: Path, user: str | None = None) -> psutil.Process:
    """Start a daemon, as another system user where one is given; its output goes to `log`.

    The log and whatever the daemon creates are for their owner alone.
    """
    with open(log, "w", opener=private) as output:
        process = subprocess.Popen(
            command,
            cwd="/",
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


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop(processes: Sequence[psutil.Process], number: int, seconds: float) -> None:
    """Send a signal, and kill whoever is there after `seconds`."""
    for process in processes:
        _signal(process, number)
    for process in _left(processes, seconds):
        _signal(process, signal.SIGKILL)
    _left(processes, seconds)


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Who is still alive after at most so long. A zombie is not: not everybody reaps at once."""
    until = time.monotonic() + seconds
    while (left := [process for process in processes if alive(process)]) and (
        time.monotonic() < until
    ):
        time.sleep(_PAUSE_SECONDS)
    return left


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def wait_until(
    ready: Callable[[], bool], process: psutil.Process, seconds: float, log: Path, what: str
) -> None:
    """Wait until a daemon answers. Raises SightlineError with its last words when it does not."""
    until = time.monotonic() + seconds
    while not ready():
        if not alive(process):
            raise SightlineError(f"{what} did not start: {_last_words(log)}")
        if time.monotonic() > until:
            raise SightlineError(f"{what} does not answer within {seconds:.0f} s; see {log}")
        time.sleep(_PAUSE_SECONDS)


def remove_drafts(folder: Path) -> None:
    """Remove data folders that an earlier `up` has begun and not finished."""
    for draft in folder.glob("data-*"):
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink()


def telling(output: str) -> str:
    """The line of a program's output that says what went wrong: the last that says so."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if _WRONG.search(line)]
    return (marked or lines or ["no output"])[-1]


def _last_words(log: Path) -> str:
    return f"{telling(log.read_text(errors='replace'))} ({log})"
