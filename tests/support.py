"""What tests share: waiting without sleeping blindly, and the program as a person runs it."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, TopicPartition
from google.protobuf.message import DecodeError, Message
from psycopg import sql

from api.auth import api_keys
from schemas import sightline_pb2 as pb
from schemas.topics import DEAD_LETTERS
from sightline.audit.actor import command_actor
from sightline.audit.roles import Role
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.client_config import consumer_config
from sightline.streaming.messages import to_records
from sightline.streaming.records import Record
from tests.forked import Program, fork

T = TypeVar("T")
M = TypeVar("M", bound=Message)

ROOT = Path(__file__).parent.parent

FOREIGN = ("SIGHTLINE_", "KAFKA_", "DATABASE_", "DB_SECRET_", "ENCRYPTION_KEY_", "S3_", "AWS_")
"""The tests' installation is not the one that the caller's environment points to."""


FEW_TRANSACTIONS = {"SIGHTLINE_VISION__BATCH_SECONDS": "0.25"}
"""Environment of a pipeline: a transaction for each frame, as by default, is a third of the
broker's work."""

PATIENCE = 120.0
"""Seconds that a test waits for what has to come: far more than it takes on a loaded machine."""

_POLL_SECONDS = 0.05


def eventually(
    condition: Callable[[], T],
    seconds: float = PATIENCE,
    what: str = "",
    *,
    is_urgent: bool = False,
) -> T:
    """The first true value of a condition; fails when there is none for long.

    `seconds` is for what takes longer than `PATIENCE`. A shorter wait proves nothing but that the
    machine is busy, so there is none. `is_urgent`: the condition is asked as often as can be,
    for what is to be met in the middle of it.
    """
    patience = max(seconds, PATIENCE)
    begun = time.monotonic()
    while True:
        asked = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        if now > begun + patience:
            raise AssertionError(f"not within {patience:.0f} s: {what or condition}")
        time.sleep(_POLL_SECONDS if is_urgent else _pause(now - asked, now - begun))


def _pause(asking: float, waited: float) -> float:
    """Seconds until a condition is asked again that took `asking` s, after `waited` s.

    What is waited for needs the cores: a condition that reads a topic or runs a command has a
    quarter of the time at most, and one that has not come for seconds is asked less often.
    """
    return min(1.0, max(_POLL_SECONDS, 3 * asking, min(0.25, waited / 20)))


def days_ago(days: int, hour: int = 0) -> datetime:
    """The hour of a day so many days ago, UTC: a fixed date grows older than some retention."""
    day = datetime.now(UTC) - timedelta(days=days)
    return day.replace(hour=hour, minute=0, second=0, microsecond=0)


Running = subprocess.Popen[bytes] | Program


def start(
    command: Sequence[str | Path],
    log: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    errors: Path | None = None,
) -> Running:
    """Start a program in the repository's root; what it prints is appended to `log`.

    Its errors go to another file if there is one. `python -m MODULE` is forked (`tests.forked`).
    """
    output = log or Path(os.devnull)
    for file in (output, errors or output):
        file.touch()  # whoever reads it does not wait for the program to open it
    words = [str(word) for word in command]
    if words[:2] == [sys.executable, "-m"] and env is not None:
        return fork(words[2:], env, ROOT, output, errors or output)
    with output.open("ab") as out, (errors or output).open("ab") as err:
        return subprocess.Popen(words, cwd=ROOT, env=env, stdout=out, stderr=err)


@contextmanager
def program(
    command: Sequence[str | Path],
    log: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """A program as `start` starts it; whatever happens, it is killed in the end.

    `subprocess.Popen` alone waits without end for a program that a failing test has not stopped.
    What is printed is shown when the test fails.
    """
    with ExitStack() as parts:
        if log is None:
            log = Path(parts.enter_context(tempfile.NamedTemporaryFile()).name)
        process = start(command, log, env=env)
        parts.callback(process.wait, PATIENCE)
        parts.callback(process.kill)
        try:
            yield process
        except BaseException:
            sys.stderr.write(log.read_text(errors="replace")[-20_000:])
            raise


def says(process: Running, log: Path, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
    """The first match of a pattern in a program's log; fails with the log when it ends before."""

    def match() -> re.Match[str] | None:
        found = re.search(pattern, log.read_text(errors="replace"), re.MULTILINE)
        if found is None and process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {log.read_text()}")
        return found

    try:
        found = eventually(match, seconds, pattern)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text(errors='replace')}") from None
    assert found is not None
    return found


@contextmanager
def own_home() -> Iterator[Path]:
    """A new home; whatever it has started is stopped in the end."""
    # They take long to load, and many tests need them not.
    from ops.local_stack.cluster import Cluster
    from ops.local_stack.embedded import down
    from ops.local_stack.postgres_user import remove_data_folders
    from ops.local_stack.process_registry import running_services

    with tempfile.TemporaryDirectory(prefix="sightline-test é, ") as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            settings = Settings(home=home)
            if not running_services(settings):
                for process in Cluster(home).running():
                    process.kill()  # nobody needs them to end well
            down(settings)
            remove_data_folders(home)


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The environment of a program that works on a home and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {"SIGHTLINE_HOME": str(home)} | extra


def sightline_command(*arguments: str) -> list[str]:
    """The command line of `sightline ARGUMENTS`."""
    return [sys.executable, "-m", "ops", *arguments]


@contextmanager
def cut_off_at(stack: Settings, table: str) -> Iterator[None]:
    """Cut the connection of whoever comes to a table of the database meanwhile."""
    with connect(stack) as holder, connect(stack, autocommit=True) as db:
        lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
        holder.execute(lock.format(sql.Identifier(table)))
        yield
        eventually(
            lambda: db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE %s = ANY(pg_blocking_pids(pid))",
                (holder.info.backend_pid,),
            ).fetchone(),
            what=f"somebody comes to {table}",
        )


def run_sightline(
    home: Path,
    *arguments: str,
    check: bool = True,
    seconds: float = 300.0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `sightline ARGUMENTS` on a home; with `check` it has to succeed."""
    result = _run_module(sightline_command(*arguments), environment(home, **(env or {})), seconds)
    if check:
        assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result


def benchmark_json(
    name: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 560.0
) -> Any:
    """What `python -m benchmarks.NAME` prints: its numbers. It has a stack of its own."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    with own_home() as home:
        result = _run_module(command, environment(home, **(env or {})), seconds)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def _run_module(
    command: Sequence[str], env: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` to its end, as `start` starts it."""
    with tempfile.TemporaryDirectory(prefix="sightline-said-") as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = start(command, stdout, env=env, errors=stderr)
        try:
            status = process.wait(seconds)
        finally:
            process.kill()
        said = stdout.read_text(), stderr.read_text()
    return subprocess.CompletedProcess(command, status, *said)


def api_key(settings: Settings, role: Role = Role.ADMIN, cameras: Sequence[str] = ()) -> str:
    """A key for the API, for all cameras or for some."""
    with connect(settings) as db:
        return api_keys.create(db, "test", role, cameras=cameras, made_by=command_actor()).key


def bearer(key: str) -> dict[str, str]:
    """The headers of a request with a key."""
    return {"Authorization": f"Bearer {key}"}


def dead_letters(settings: Settings) -> list[pb.DeadLetter]:
    """All there are now."""
    return read_messages(settings, DEAD_LETTERS.name, pb.DeadLetter)


def read_messages(settings: Settings, topic: str, kind: type[M]) -> list[M]:
    """What can be read of all that a topic holds now: some tests write what cannot."""
    found = []
    for record in read_topic(settings, topic):
        with suppress(DecodeError):
            found.append(kind.FromString(record.value or b""))
    return found


def read_topic(settings: Settings, topic: str, *, committed: bool = True) -> list[Record]:
    """Everything that a topic holds now; with `committed` what transactions have committed."""
    config = consumer_config(settings, "test-reader", "test-reader")
    config |= {"isolation.level": "read_committed" if committed else "read_uncommitted"}
    config |= {"enable.partition.eof": True}
    consumer = Consumer(config)
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        records: list[Record] = []
        ended = 0
        until = time.monotonic() + PATIENCE
        while ended < len(partitions):
            assert time.monotonic() < until, f"{topic} has no end"
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                ended += 1
            records += to_records([message])
        return records
    finally:
        consumer.close()
