"""`sightline replay`."""

import getpass
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.audited import audited
from ops.cli.logs import parse_time
from ops.cli.models import with_models
from ops.local_stack.daemons import usable_cores
from ops.local_stack.process_registry import register_process
from ops.replay.coordinator import Coordinator
from ops.replay.plan import ReplayRequest, plan
from ops.terminal import (
    JsonOption,
    display_zone,
    print_json,
    print_line,
    progress_console,
)
from schemas.topics import LIVE
from sightline.audit import trail
from sightline.runtime.errors import ConflictError, SightlineError
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings, load_settings
from sightline.storage import runs
from sightline.storage.camera_names import name_by_id
from sightline.storage.db import connect
from sightline.storage.run_progress import camera_seconds_of
from sightline.storage.runs import Run

_TIME_FORMATS = "2026-11-21T10:00, or 90s, 15m, 2h, 7d before now"

_NICENESS = 19
"""Niceness of this process and its children: the lowest, as live comes first."""


app = typer.Typer()


@app.command("replay")
@audited("replay")
def _replay(
    since: Annotated[
        str | None, typer.Option("--from", help=f"Not before: {_TIME_FORMATS}.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", help="Before this moment, in the same formats; now by default."),
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera; may be repeated.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="Name of the run; the name of a run that was stopped continues it."),
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of ONNX files to use instead of today's.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Vision workers; one for each core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Process frames that Kafka still holds once more, as a run beside the live one.

    Whole motion events are processed: the window is widened to the events that reach into it.
    """
    settings = _settings(models)
    name = run or f"replay_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    with closing(connect(settings)) as db:
        planned = runs.find(db, name)
    if planned is not None:
        _check_unfinished(planned)
    else:
        planned = plan(settings, _request(name, since, until, camera or []))
    trail.write_before_showing(run=name, cameras=planned.cameras)
    with closing(connect(settings)) as db:
        camera_names = name_by_id(db, planned.cameras)
    _print_run(planned, sorted(camera_names.values()))
    if wait:
        _run_to_end(settings, planned, workers or usable_cores(), as_json=as_json)
    else:
        log = _start_detached(settings, name, workers or usable_cores())
        if as_json:
            print_json({"run": name, "stage": planned.stage, "log": str(log)})
        else:
            print_line(
                f"run {name} goes on by itself: `sightline runs list` says how far it is,"
                f" {log} what happens"
            )


def _settings(models: Path | None) -> Settings:
    settings = load_settings().model_copy(update={"run": LIVE, "metrics_port": 0})
    settings = with_models(settings, models)
    if settings.log_level == "INFO":  # progress is printed besides
        settings = settings.model_copy(update={"log_level": "WARNING"})
    return settings


def _check_unfinished(run: Run) -> None:
    if run.is_over:
        raise ConflictError(
            f"the run {run.name} is {run.stage}: choose another name, or delete it first"
            f" (`sightline runs delete {run.name}`)"
        )


def _request(name: str, since: str | None, until: str | None, cameras: list[str]) -> ReplayRequest:
    begin = parse_time(since, "--from")
    if begin is None:
        raise SightlineError(f"there is no run {name[:40]}: say --from and --to for a new one")
    end = parse_time(until, "--to") or datetime.now(UTC)
    return ReplayRequest(name, begin, end, cameras, made_by=getpass.getuser())


def _print_run(run: Run, camera_names: Sequence[str]) -> None:
    zone = display_zone()
    begin, end = (f"{zone.local(at):%Y-%m-%d %H:%M:%S}" for at in (run.from_at, run.to_at))
    print_line(
        f"run {run.name}: {begin} to {end} ({zone.name(run.from_at)}), {', '.join(camera_names)},"
        f" pack {run.pack}",
        progress_console,
    )
    if run.detail:
        print_line(f"not exact: {run.detail}", progress_console)


class _Progress:
    """Callback that prints a line of progress if it differs from the line before."""

    def __init__(self) -> None:
        self._last_line = ""

    def __call__(self, line: str) -> None:
        if line != self._last_line:
            self._last_line = line
            print_line(line, progress_console)


def _run_to_end(settings: Settings, run: Run, workers: int, *, as_json: bool) -> None:
    started_at = time.monotonic()
    os.nice(_NICENESS)
    with register_process("replay", settings):
        stop = start_service("replay", settings)
        coordinator = Coordinator(settings, run.name, _Progress(), workers)
        result = coordinator.run(stop)
    seconds = time.monotonic() - started_at
    if not result.is_over:
        raise SightlineError(f"stopped: `sightline replay --run {run.name}` goes on with it")
    with closing(connect(settings)) as db:
        camera_seconds = camera_seconds_of(db, run.name)
    if as_json:
        state = {"run": run.name, "stage": result.stage, "detail": result.detail or None}
        times = {"seconds": round(seconds, 1), "camera_seconds": round(camera_seconds, 1)}
        print_json(state | times)
        return
    if result.detail and result.detail != run.detail:
        print_line(f"not exact: {result.detail}", progress_console)
    print_line(
        f"run {run.name} is {result.stage}: {camera_seconds:.0f} s of {len(result.cameras)} cameras"
        f" in {seconds:.0f} s; `sightline runs diff live {run.name}` compares"
    )


def _start_detached(settings: Settings, name: str, workers: int) -> Path:
    """Start a detached process that carries the run out; return the path of its log."""
    log = settings.home / "replay" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ops", "replay", "--run", name, "--wait"]
    if what_for := trail.purpose():
        command += ["--purpose", what_for]
    with log.open("a") as output:
        subprocess.Popen(
            [*command, "--workers", str(workers)],
            env=os.environ | {"SIGHTLINE_HOME": str(settings.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return log
