"""Processes of `python -m MODULE`, forked from one that has loaded already what they work with.

To load it costs a service about a second of a core each time that it starts. The forkserver of
the standard library does so once: a process without threads, and without work of its own.
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
from sightline.runtime.log_redaction import clean

_ALWAYS = ("ops.local_stack.forkserver_preload", "ops.cli.services")
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
"""Parallelism is by processes: libraries that start a thread for each core only get in the way."""

_MOST_CHARACTERS = 500
"""Of a reason: a line for a person, and less than what a pipe holds without a reader."""


def preload(names: Iterable[str]) -> None:
    """Name the services that will be forked; without effect once one has been."""
    os.environ.update(ONE_THREAD)  # a library with threads could not be forked
    known = services() | jobs()
    modules = [known[name].module for name in names if name in known]
    _CONTEXT.set_forkserver_preload([*_ALWAYS, *modules])


def fork(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path | None = None,
    reason: Connection | None = None,
) -> BaseProcess:
    """Run a module as `python -m` does, in a session of its own; output is appended to a file.

    A process that fails sends the error's line, cleaned of secrets, to `reason` as UTF-8 bytes.

    Its `multiprocessing.parent_process()` is this process, whose end it is to notice. Of several
    threads only one at a time may ask how it is. Raises OSError or EOFError when the process it
    is forked from has just died; a new one takes its place with the next call.
    """
    process = _CONTEXT.Process(
        target=_run,
        args=(module, list(arguments), dict(environment), output, reason),
        daemon=True,
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
        if isinstance(end.code, str):  # a command's error
            _send(reason, first_line(end).removeprefix("sightline: "))
        raise
    except Exception as error:
        _send(reason, f"{type(error).__name__}: {first_line(error)}")
        raise
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out


def _send(reason: Connection | None, text: str) -> None:
    if reason is not None:
        with contextlib.suppress(OSError):  # the supervisor is gone
            reason.send_bytes(clean(text)[:_MOST_CHARACTERS].encode(errors="replace"))
