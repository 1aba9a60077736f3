"""Stack of the demo: started, run until the films have ended, and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from rich.status import Status

from ops.local_stack.daemons import usable_cores
from ops.local_stack.embedded import down, up
from ops.terminal import progress_console
from schemas.naming import match_group, sink_group, vision_group
from schemas.topics import LIVE
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import Connection, connect
from sightline.streaming.admin import admin_client

_INHERITED = {
    "SIGHTLINE_PROVIDER",
    "SIGHTLINE_DEVICE",
    "SIGHTLINE_PACK",
    "SIGHTLINE_LOG_LEVEL",
    "SIGHTLINE_ENCRYPTION__KEYS",
}
_USER_PREFIXES = ("SIGHTLINE_", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "S3_")

WORKERS = usable_cores()
"""Vision workers: one for each core."""

ALL_SERVICES = ("all", "--vision-workers", str(WORKERS))

_GROUPS = (match_group(LIVE), sink_group("access-log", LIVE), sink_group("visitor-log", LIVE))

_POLL_SECONDS = 0.3
_READY_TIMEOUT_SECONDS = 60.0
_QUIET_SECONDS = 3.0
"""Time without change after the last frame: longer than any service's batch."""

_STOP_TIMEOUT_SECONDS = 30.0
_FETCH_TIMEOUT_SECONDS = 60.0

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
class FilmProgress:
    """Progress of the films."""

    ended: int  # cameras
    events: int
    processed: int  # events
    frames: int  # processed by vision
    rows: int
    last_write: str  # changes with every batch of decisions
    trouble: str  # cameras that cannot be read

    def is_complete(self, cameras: int) -> bool:
        """Return True if every film has ended and all of its motion events are processed."""
        return self.ended == cameras and self.processed == self.events


def own_settings(home: Path, models: Path | None) -> Settings:
    """Return settings of a demo in this home, free of the user's own installation."""
    for name in list(os.environ):
        if name.startswith(_USER_PREFIXES) and name not in _INHERITED:
            del os.environ[name]
    os.environ["SIGHTLINE_HOME"] = str(home)
    os.environ["SIGHTLINE_API__PORT"] = "0"  # the user's own API may use the default port
    if models is not None:
        os.environ["SIGHTLINE_MODELS"] = str(models)
    load_settings.cache_clear()
    return load_settings()


def choose_pack(settings: Settings, users_home: Path) -> None:
    """Use the default pack if the user has it or it is fetched within a minute, else dlib.

    It is fetched into the user's home, as a demo's home is thrown away.
    """
    if settings.models is not None or settings.pack == "dlib":
        return
    folder = users_home / "models" / "default"
    if folder.is_dir() or _fetched_in_time(users_home):
        (settings.home / "models").symlink_to(folder.parent)


def _fetched_in_time(users_home: Path) -> bool:
    fetch = subprocess.Popen(
        [sys.executable, "-m", "ops", "models", "fetch"],
        env=os.environ | {"SIGHTLINE_HOME": str(users_home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # its progress goes to stderr
        start_new_session=True,
    )
    try:
        return fetch.wait(_FETCH_TIMEOUT_SECONDS) == 0
    except subprocess.TimeoutExpired:
        progress_console.print(
            f"the default models do not come within {_FETCH_TIMEOUT_SECONDS:.0f} s: the pack dlib"
            " is used (`sightline models fetch` gets them in its own time)"
        )
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(fetch.pid, signal.SIGKILL)
        fetch.wait()


@contextmanager
def running_stack(
    settings: Settings, *, monitoring: bool = False, secure: bool = False
) -> Iterator[None]:
    """Run broker and database, optionally monitoring, during the block."""
    try:
        up(settings, monitoring=monitoring or None, secure=secure)
        yield
    finally:
        with progress_console.status("stopping everything"), _signals_ignored():
            down(settings)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore signals during the block: a second Ctrl-C must not leave processes behind."""
    handlers = {
        signal_number: signal.getsignal(signal_number)
        for signal_number in (signal.SIGINT, signal.SIGTERM)
    }
    for signal_number in handlers:
        signal.signal(signal_number, signal.SIG_IGN)
    try:
        yield
    finally:
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)


@contextmanager
def running_services(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `sightline run ARGUMENTS` during the block; its log is the home's `services.log`."""
    with log_of(settings).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "run", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which drains it
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(
    settings: Settings, services: subprocess.Popen[bytes], poll_seconds: float = _POLL_SECONDS
) -> None:
    """Wait until the services have their partitions, so that frames are processed at once.

    Raises SightlineError if they are not ready in time, or end.
    """
    members = dict.fromkeys(_GROUPS, 1) | {vision_group(settings.fleet, LIVE): WORKERS}
    deadline = time.monotonic() + _READY_TIMEOUT_SECONDS
    admin = admin_client(settings, "demo")
    with progress_console.status("starting the services"):
        while not _all_joined(admin, members):
            _check_services(services, settings)
            if time.monotonic() > deadline:
                log = log_of(settings)
                raise SightlineError(f"not every service is ready after a minute; see {log}")
            time.sleep(poll_seconds)


def _all_joined(admin: AdminClient, members: dict[str, int]) -> bool:
    """Return True if every group has its members, and they have their partitions."""
    for name, future in admin.describe_consumer_groups(list(members)).items():
        try:
            group = future.result()
        except KafkaException:
            return False
        if group.state != ConsumerGroupState.STABLE or len(group.members) < members[name]:
            return False
    return True


def wait_until_complete(
    settings: Settings, services: subprocess.Popen[bytes], cameras: int, seconds: float
) -> None:
    """Wait until the films have ended and the output does not change any more.

    Raises SightlineError after `seconds`, or if a service or a film fails.
    """
    deadline = time.monotonic() + seconds
    quiet_since = time.monotonic()
    previous: FilmProgress | None = None
    with connect(settings, autocommit=True) as db, progress_console.status("") as status:
        while True:
            progress = read_progress(db)
            if progress != previous:
                previous, quiet_since = progress, time.monotonic()
                _show(status, progress, cameras)
            if progress.is_complete(cameras) and time.monotonic() - quiet_since > _QUIET_SECONDS:
                return
            _check_services(services, settings)
            if progress.trouble:
                raise SightlineError(f"a film cannot be read: {progress.trouble}")
            if time.monotonic() > deadline:
                raise SightlineError(
                    f"the films are not through after {seconds:.0f} s ({progress.ended} of"
                    f" {cameras} cameras ended, {progress.processed} of {progress.events} motion"
                    f" events processed); see {log_of(settings)}"
                )
            time.sleep(_POLL_SECONDS)


def read_progress(db: Connection) -> FilmProgress:
    """Return the progress of the films from the database."""
    row = db.execute(_PROGRESS).fetchone()
    if row is None:
        raise AssertionError("a SELECT of aggregates gave no row")
    return FilmProgress(*row)


def _show(status: Status, progress: FilmProgress, cameras: int) -> None:
    status.update(
        f"{progress.ended} of {cameras} films ended, {progress.frames} frames seen, "
        f"{progress.processed} of {progress.events} motion events done,"
        f" {progress.rows} access log rows"
    )


def _check_services(services: subprocess.Popen[bytes], settings: Settings) -> None:
    if services.poll() is not None:
        log = log_of(settings)
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise SightlineError(f"the services ended: {lines[-1]}; see {log}")


def log_of(settings: Settings) -> Path:
    """Return the path of the services' log."""
    return settings.home / "services.log"
