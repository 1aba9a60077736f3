"""A stack of the demo's own: brought up, run until the films are through, and brought down."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.status import Status

from sightline.cli.output import progress_console
from sightline.errors import SightlineError
from sightline.settings import Settings, load_settings
from sightline.stack.embedded import down, up
from sightline.store.db import Connection, connect

_KEPT = {"SIGHTLINE_PROVIDER", "SIGHTLINE_DEVICE", "SIGHTLINE_PACK", "SIGHTLINE_LOG_LEVEL"}
_FOREIGN = ("SIGHTLINE_", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "S3_")

_LOOK_SECONDS = 0.3
_QUIET_SECONDS = 3.0
"""So long nothing may change after the last frame: longer than any service's batch."""

_STOP_SECONDS = 30.0

_PROGRESS = """
SELECT
    (SELECT count(*) FROM cameras WHERE status = 'ended'),
    (SELECT count(*) FROM motion_events),
    (SELECT count(*) FROM motion_events WHERE processed),
    (SELECT coalesce(sum(frames_seen), 0) FROM motion_events),
    (SELECT count(*) FROM access_logs),
    (SELECT coalesce(max(updated_at)::text, '') FROM sink_offsets
     WHERE topic IN ('sightings', 'snapshots')),
    (SELECT coalesce(string_agg(camera_id || ': ' || coalesce(status_detail, 'down'), '; '), '')
     FROM cameras WHERE status = 'down')
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the films are."""

    ended: int  # cameras
    events: int
    processed: int  # events
    frames: int  # seen by vision
    rows: int
    last_write: str  # changes with every batch of decisions
    trouble: str  # cameras that cannot be read

    def through(self, cameras: int) -> bool:
        """Whether every film has ended and every motion in it was processed."""
        return self.ended == cameras and self.processed == self.events


def own_settings(home: Path, models: Path | None) -> Settings:
    """Settings of a demo in this home: nothing of the user's own installation is used."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name not in _KEPT:
            del os.environ[name]
    os.environ["SIGHTLINE_HOME"] = str(home)
    if models is not None:
        os.environ["SIGHTLINE_MODELS"] = str(models)
    load_settings.cache_clear()
    return load_settings()


@contextmanager
def running_stack(settings: Settings) -> Iterator[None]:
    """Broker and database, which end with the block however it ends."""
    try:
        up(settings)
        yield
    finally:
        with progress_console.status("stopping everything"), _undisturbed():
            down(settings)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half of the processes behind."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_services(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`sightline run all`, drained at the end; its log goes to `services.log` of the home."""
    log = settings.home / "services.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sightline", "run", "all"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C comes to us, and we drain it
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_through(
    settings: Settings, services: subprocess.Popen[bytes], cameras: int, seconds: float
) -> None:
    """Wait until the films are through and nothing changes any more.

    Raises SightlineError when they are not within `seconds`, or a service or a film fails.
    """
    until = time.monotonic() + seconds
    quiet_since = time.monotonic()
    before: Progress | None = None
    with connect(settings, autocommit=True) as db, progress_console.status("") as status:
        while True:
            now = read_progress(db)
            if now != before:
                before, quiet_since = now, time.monotonic()
                _show(status, now, cameras)
            if now.through(cameras) and time.monotonic() - quiet_since > _QUIET_SECONDS:
                return
            _check(now, services, settings)
            if time.monotonic() > until:
                raise SightlineError(
                    f"the films are not through after {seconds:.0f} s ({now.ended} of {cameras} "
                    f"cameras ended, {now.processed} of {now.events} motion events processed); "
                    f"see {settings.home / 'services.log'}"
                )
            time.sleep(_LOOK_SECONDS)


def read_progress(db: Connection) -> Progress:
    """How far the films are, by what the database says."""
    row = db.execute(_PROGRESS).fetchone()
    if row is None:
        raise AssertionError("a SELECT of aggregates gave no row")
    return Progress(*row)


def _show(status: Status, now: Progress, cameras: int) -> None:
    status.update(
        f"{now.ended} of {cameras} films ended, {now.frames} frames seen, "
        f"{now.processed} of {now.events} motion events done, {now.rows} access log rows"
    )


def _check(now: Progress, services: subprocess.Popen[bytes], settings: Settings) -> None:
    log = settings.home / "services.log"
    if services.poll() is not None:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise SightlineError(f"the services ended: {lines[-1]}; see {log}")
    if now.trouble:
        raise SightlineError(f"a film cannot be read: {now.trouble}")
