"""`sightline replay`."""

import getpass
import os
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.audited import audited
from ops.cli.logs import moment
from ops.cli.services import cores
from ops.local_stack.process_registry import registered
from ops.replay.coordinator import Coordinator
from ops.replay.plan import Wish, plan
from ops.terminal import JsonOption, console, print_json, progress_console
from schemas.topics import LIVE
from sightline.audit import trail
from sightline.runtime.errors import ConflictError, SightlineError
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings, load_settings
from sightline.storage import runs
from sightline.storage.db import connect
from sightline.storage.run_progress import seconds_seen
from sightline.storage.runs import Run

_WHEN = "2026-11-21T10:00, or 90s, 15m, 2h, 7d before now"

_PRIORITY = 19
"""The lowest, of this process and its children: live comes first."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("replay")(_replay)


@audited("replay")
def _replay(
    since: Annotated[str | None, typer.Option("--from", help=f"Not before: {_WHEN}.")] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Before this moment, said likewise; else now.")
    ] = None,
    camera: Annotated[list[str] | None, typer.Option(help="Only this one; again for more.")] = None,
    run: Annotated[
        str | None, typer.Option(help="What to call it; the name of one that was stopped goes on.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Folder of ONNX files to use instead of today's.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is done.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Vision workers; one for each core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """See frames that Kafka still holds once more, as a run of its own beside the live one.

    Whole motion events are seen: the window is widened to those that reach into it.
    """
    settings = _settings(models)
    name = run or f"replay_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    with closing(connect(settings)) as db:
        known = runs.find(db, name)
    if known is not None:
        _check_unfinished(known)
    else:
        known = plan(settings, _wish(name, since, until, camera or []))
    trail.shown(run=name, cameras=known.cameras)
    _tell(known)
    if wait:
        _carry_out(settings, known, workers or cores(), as_json=as_json)
    else:
        log = _send_away(settings, name, workers or cores())
        if as_json:
            print_json({"run": name, "stage": known.stage, "log": str(log)})
        else:
            console.print(
                f"run {name} goes on by itself: `sightline runs list` says how far it is,"
                f" {log} what happens",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _settings(models: Path | None) -> Settings:
    settings = load_settings().model_copy(update={"run": LIVE, "metrics_port": 0})
    if models is not None:
        settings = settings.model_copy(update={"models": models.expanduser().resolve()})
    if settings.log_level == "INFO":  # progress is said besides
        settings = settings.model_copy(update={"log_level": "WARNING"})
    return settings


def _check_unfinished(run: Run) -> None:
    if run.is_over:
        raise ConflictError(
            f"the run {run.name} is {run.stage}: choose another name, or delete it first"
            f" (`sightline runs delete {run.name}`)"
        )


def _wish(name: str, since: str | None, until: str | None, cameras: list[str]) -> Wish:
    begin = moment(since, "--from")
    if begin is None:
        raise SightlineError(f"there is no run {name[:40]}: say --from and --to for a new one")
    end = moment(until, "--to") or datetime.now(UTC)
    return Wish(name, begin, end, cameras, made_by=getpass.getuser())


def _tell(run: Run) -> None:
    _say(
        f"run {run.name}: {run.from_at.astimezone():%Y-%m-%d %H:%M:%S} to"
        f" {run.to_at.astimezone():%Y-%m-%d %H:%M:%S}, {', '.join(run.cameras)}, pack {run.pack}"
    )
    if run.detail:
        _say(f"not exact: {run.detail}")


def _say(line: str) -> None:
    progress_console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Progress:
    """Says a line when it is another one than before."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, line: str) -> None:
        if line != self._said:
            self._said = line
            _say(line)


def _carry_out(settings: Settings, run: Run, workers: int, *, as_json: bool) -> None:
    began = time.monotonic()
    os.nice(_PRIORITY)
    with registered("replay", settings):
        stop = start_service("replay", settings)
        coordinator = Coordinator(settings, run.name, _Progress(), workers)
        after = coordinator.carry_out(stop)
    seconds = time.monotonic() - began
    if not after.is_over:
        raise SightlineError(f"stopped: `sightline replay --run {run.name}` goes on with it")
    with closing(connect(settings)) as db:
        seen = seconds_seen(db, run.name)
    if as_json:
        print_json({
            "run": run.name, "stage": after.stage, "detail": after.detail or None,
            "seconds": round(seconds, 1), "camera_seconds": round(seen, 1),
        })  # fmt: skip
        return
    if after.detail and after.detail != run.detail:
        _say(f"not exact: {after.detail}")
    console.print(
        f"run {run.name} is {after.stage}: {seen:.0f} s of {len(after.cameras)} cameras in"
        f" {seconds:.0f} s; `sightline runs diff live {run.name}` compares",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _send_away(settings: Settings, name: str, workers: int) -> Path:
    """Let a process of its own carry the run out; its log."""
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
