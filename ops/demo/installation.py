"""A stack of the demo's own: brought up, run until the films are through, and brought down."""

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

from ops.local_stack.embedded import down, up
from ops.terminal import progress_console
from schemas.naming import match_group, sink_group, vision_group
from schemas.topics import LIVE
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings, load_settings
from sightline.storage.db import Connection, connect
from sightline.streaming.client_config import client_config

_KEPT = {
    "SIGHTLINE_PROVIDER",
    "SIGHTLINE_DEVICE",
    "SIGHTLINE_PACK",
    "SIGHTLINE_LOG_LEVEL",
    "SIGHTLINE_ENCRYPTION__KEYS",
}
_FOREIGN = ("SIGHTLINE_", "KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "S3_")

WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Vision workers: one for each core."""

ALL_SERVICES = ("all", "--vision-workers", str(WORKERS))

_GROUPS = (match_group(LIVE), sink_group("access-log", LIVE), sink_group("visitor-log", LIVE))

_LOOK_SECONDS = 0.3
_READY_SECONDS = 60.0
_QUIET_SECONDS = 3.0
"""So long nothing may change after the last frame: longer than any service's batch."""

_STOP_SECONDS = 30.0
_FETCH_SECONDS = 60.0

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
    os.environ["SIGHTLINE_API__PORT"] = "0"  # the user's own API may be running
    if models is not None:
        os.environ["SIGHTLINE_MODELS"] = str(models)
    load_settings.cache_clear()
    return load_settings()


def choose_pack(settings: Settings, users_home: Path) -> None:
    """The default pack where the user has it or it comes within a minute, else dlib, said so.

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
        stdout=subprocess.DEVNULL,  # what it says goes to stderr, as ours does
        start_new_session=True,
    )
    try:
        return fetch.wait(_FETCH_SECONDS) == 0
    except subprocess.TimeoutExpired:
        progress_console.print(
            f"the default models do not come within {_FETCH_SECONDS:.0f} s: the pack dlib is used "
            "(`sightline models fetch` gets them in its own time)"
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
    """Broker and database, and monitoring where wanted, which end as the block ends, however."""
    try:
        up(settings, monitoring=monitoring or None, secure=secure)
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
def running_services(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`sightline run ARGUMENTS`, drained at the end; its log goes to `services.log` of the home."""
    with log_of(settings).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "run", *arguments],
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


def wait_until_ready(
    settings: Settings, services: subprocess.Popen[bytes], look_seconds: float = _LOOK_SECONDS
) -> None:
    """Wait until the services have their partitions: frames would go straight through to rows.

    Raises SightlineError when they are not ready in time, or end.
    """
    wanted = dict.fromkeys(_GROUPS, 1) | {vision_group(settings.fleet, LIVE): WORKERS}
    until = time.monotonic() + _READY_SECONDS
    admin = AdminClient(client_config(settings, "sightline-demo"), logger=LIBRDKAFKA)
    with progress_console.status("starting the services"):
        while not _all_joined(admin, wanted):
            _check_services(services, settings)
            if time.monotonic() > until:
                log = log_of(settings)
                raise SightlineError(f"not every service is ready after a minute; see {log}")
            time.sleep(look_seconds)


def _all_joined(admin: AdminClient, wanted: dict[str, int]) -> bool:
    """Whether every group has its members, and they have their partitions."""
    for name, future in admin.describe_consumer_groups(list(wanted)).items():
        try:
            group = future.result()
        except KafkaException:
            return False
        if group.state != ConsumerGroupState.STABLE or len(group.members) < wanted[name]:
            return False
    return True


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
            _check_services(services, settings)
            if now.trouble:
                raise SightlineError(f"a film cannot be read: {now.trouble}")
            if time.monotonic() > until:
                raise SightlineError(
                    f"the films are not through after {seconds:.0f} s ({now.ended} of {cameras} "
                    f"cameras ended, {now.processed} of {now.events} motion events processed); "
                    f"see {log_of(settings)}"
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


def _check_services(services: subprocess.Popen[bytes], settings: Settings) -> None:
    if services.poll() is not None:
        log = log_of(settings)
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise SightlineError(f"the services ended: {lines[-1]}; see {log}")


def log_of(settings: Settings) -> Path:
    """Where the services' log is."""
    return settings.home / "services.log"
