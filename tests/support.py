"""What tests share: waiting without sleeping blindly, and the program as a person runs it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from sightline.streaming.messages import checked
from sightline.streaming.records import Record

T = TypeVar("T")
M = TypeVar("M", bound=Message)

ROOT = Path(__file__).parent.parent

FOREIGN = ("SIGHTLINE_", "KAFKA_", "DATABASE_", "DB_SECRET_", "ENCRYPTION_KEY_", "S3_", "AWS_")
"""The tests' installation is not the one that the caller's environment points to."""


def eventually(condition: Callable[[], T], seconds: float = 30.0, what: str = "") -> T:
    """The first true value of a condition; fails when there is none within `seconds`."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {what or condition}")
        time.sleep(0.05)


@contextmanager
def own_home() -> Iterator[Path]:
    """A new home; whatever it has started is stopped in the end."""
    from ops.local_stack.embedded import down  # takes long to load, and many tests need it not
    from ops.local_stack.postgres_user import discard

    with tempfile.TemporaryDirectory(prefix="sightline-test-") as folder:
        home = Path(folder)
        try:
            yield home
        finally:
            down(Settings(home=home))
            discard(home)


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
    seconds: float = 120.0,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `sightline ARGUMENTS` on a home; with `check` it has to succeed."""
    result = subprocess.run(
        sightline_command(*arguments),
        cwd=ROOT,
        env=environment(home, **(env or {})),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if check:
        assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result


def benchmark_json(name: str, *arguments: str, seconds: float = 280.0) -> Any:
    """What `python -m benchmarks.NAME` prints: its numbers. It has a stack of its own."""
    with own_home() as home:
        result = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *arguments],
            cwd=ROOT,
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


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
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        records: list[Record] = []
        ended = 0
        until = time.monotonic() + 10
        while ended < len(partitions):
            assert time.monotonic() < until, f"{topic} has no end"
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                ended += 1
            records += checked([message])
        return records
    finally:
        consumer.close()
