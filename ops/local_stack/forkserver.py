"""Processes of `python -m MODULE`, forked from a process that has loaded their libraries.

Loading takes a service about a second of a core at each start. The forkserver of the standard
library does it once: a process without threads, and without work of its own.
"""

import atexit
import contextlib
import gc
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import setproctitle

from ops.local_stack.service_registry import jobs, services
from sightline.runtime.errors import first_line
from sightline.runtime.log_redaction import redact

_PRELOADED_MODULES = ("ops.local_stack.forkserver_preload", "ops.cli.services")
_CONTEXT = multiprocessing.get_context("forkserver")

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""Environment that keeps libraries from starting a thread for each core.

Services run in parallel as processes.
"""

_MAX_REASON_CHARACTERS = 500
"""Length of a reason: one line, and less than a pipe holds without a reader."""


def preload(names: Iterable[str]) -> None:
    """Name the services that will be forked; without effect after the first fork."""
    os.environ.update(ONE_THREAD)  # a library with threads cannot be forked
    entries = services() | jobs()
    modules = [entries[name].module for name in names if name in entries]
    _CONTEXT.set_forkserver_preload([*_PRELOADED_MODULES, *modules])


def fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path | None = None,
    reason: Connection | None = None,
) -> BaseProcess:
    """Run a module like `python -m`, in a session of its own; output is appended to a file.

    A process that fails sends the error's line, cleaned of secrets, to `reason` as UTF-8 bytes.

    Its `multiprocessing.parent_process()` is this process, whose end it has to notice. Only one
    thread at a time may ask for its state. Raises OSError or EOFError if the forkserver has just
    died; the next call starts a new one.
    """
    process = _CONTEXT.Process(
        target=_run, args=(module, list(arguments), dict(environment), output, reason), daemon=True
    )
    process.start()
    return process


def reason_pipe() -> tuple[Connection, Connection]:
    """Return both ends, to read and to write, of a pipe for the `reason` of `fork`."""
    return _CONTEXT.Pipe(duplex=False)


def _run(
    module: str,
    arguments: list[str],
    environment: dict[str, str],
    output: Path | None,
    reason: Connection | None,
) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if output is not None:
        with output.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()
    gc.enable()
    sys.argv = [module, *arguments]
    setproctitle.setproctitle(" ".join(sys.argv))
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):  # the error line of a command
            _send(reason, first_line(end).removeprefix("sightline: "))
        raise
    except Exception as error:
        _send(reason, f"{type(error).__name__}: {first_line(error)}")
        raise
    finally:
        atexit._run_exitfuncs()  # multiprocessing does not call them


def _send(reason: Connection | None, text: str) -> None:
    if reason is not None:
        with contextlib.suppress(OSError):  # the supervisor has ended
            reason.send_bytes(redact(text)[:_MAX_REASON_CHARACTERS].encode(errors="replace"))
