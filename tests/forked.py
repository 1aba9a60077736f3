"""`python -m MODULE ...`, forked from a process that has loaded what our programs work with.

Tests start programs by the dozen, and to load their code takes each of them one to three seconds
of a core. The forkserver of the standard library does so once for a process of pytest, as the
supervisor of the product does for its services. What a program prints and returns is its own.
What it forks comes from the same process, so that a supervisor loads nothing either.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import entry_points
from multiprocessing import resource_tracker
from multiprocessing.forkserver import _forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

from ops import cli, terminal
from ops.local_stack import forkserver, supervisor

_CONTEXT = multiprocessing.get_context("forkserver")


class Program:
    """A program that runs, with the methods of `subprocess.Popen` that tests need."""

    def __init__(self, process: BaseProcess, arguments: Sequence[str]) -> None:
        self._process = process
        self.args = list(arguments)
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, the negative number of the signal that killed it, or None."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end; the exit status. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def fork(
    arguments: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    stdout: Path,
    stderr: Path,
) -> Program:
    """Start `python -m ARGUMENTS` in a folder; what it prints is appended to two files."""
    services = {point.module for point in entry_points(group="sightline.services")}
    commands = [f"{cli.__name__}.{name}" for name in cli._MODULES]
    _CONTEXT.set_forkserver_preload(
        [*forkserver._PRELOADED_MODULES, *commands, *sorted(services), "tests.preloaded"]
    )
    process = _CONTEXT.Process(
        target=_run, args=(list(arguments), dict(env), str(folder), str(stdout), str(stderr))
    )
    with patch.dict(
        os.environ, forkserver.ONE_THREAD
    ):  # a library with threads could not be forked
        process.start()
    return Program(process, arguments)


def _run(arguments: list[str], env: dict[str, str], folder: str, stdout: str, stderr: str) -> None:
    # Processes that this one forks come from the same forkserver, as the standard library documents
    # it; it would start another, which loads the libraries for four seconds of a core.
    patch.object(_forkserver, "ensure_running", resource_tracker.ensure_running).start()
    # They would print where that other one, started from here, does.
    patch.object(supervisor, "fork", partial(forkserver.fork, output=Path(stderr))).start()
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    if "COLUMNS" in env:  # which the consoles have asked for when they were made
        terminal.console.width = terminal.progress_console.width = int(env["COLUMNS"])
    gc.freeze()
    gc.enable()
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
