"""The sink loop against the real broker and database: rows and offsets together."""

import signal
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from ops.local_stack.database import Database
from ops.local_stack.ports import free_port
from schemas import sightline_pb2 as pb
from schemas.naming import sink_group
from schemas.topics import LIVE, Topic
from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import client_config, producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import (
    Running,
    dead_letters,
    environment,
    eventually,
    program,
    run_sightline,
)

pytestmark = pytest.mark.stack

_LAG = "sightline_consumer_lag_records"


@pytest.fixture(scope="module", autouse=True)
def _table(stack: Settings) -> None:
    with connect(stack) as connection:
        connection.execute(
            "CREATE TABLE counted (sink text, id text, quality real CHECK (quality < 100),"
            " batch integer, times integer DEFAULT 1, PRIMARY KEY (sink, id))"
        )


@contextmanager
def sink(stack: Settings, name: str, **settings: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.stack.counting_sink", name, f"test-{name}"]
    with program(command, env=environment(stack.home, **settings)) as process:
        yield process


def template(number: int, quality: float = 1.0, pack: str = "") -> bytes:
    return pb.Template(template_id=f"{number:03}", quality=quality, pack=pack).SerializeToString()


def send(stack: Settings, name: str, values: list[bytes], partitions: int = 2) -> None:
    apply_topics(stack, [Topic(f"test-{name}", "none", partitions)])
    producer = CheckedProducer(producer_config(stack, "test"))
    for rank, value in enumerate(values):
        producer.send(OutputRecord(f"test-{name}", "key", value, 1000 + rank, rank % partitions))
    producer.flush(60)


def rows(stack: Settings, name: str) -> dict[str, tuple[int, int]]:
    """Return the number of writes of each id, and the size of its first batch."""
    with connect(stack) as connection:
        cursor = connection.execute("SELECT id, times, batch FROM counted WHERE sink = %s", (name,))
        return {str(row[0]): (int(row[1]), int(row[2])) for row in cursor}


def letters(stack: Settings, name: str) -> dict[int, str]:
    """Return the reason of each dead letter of a sink, by offset."""
    every = dead_letters(stack)
    return {letter.source.offset: letter.reason for letter in every if letter.service == name}


def next_offsets(stack: Settings, name: str) -> list[int]:
    with connect(stack) as connection:
        cursor = connection.execute(
            "SELECT next_offset FROM sink_offsets WHERE sink = %s ORDER BY partition", (name,)
        )
        return [int(row[0]) for row in cursor]


def members(stack: Settings, name: str) -> set[str]:
    """Return the member ids of a sink's group."""
    group = sink_group(name, LIVE)
    admin = AdminClient(client_config(stack, "test"))
    description = admin.describe_consumer_groups([group])[group].result(10)
    return {member.member_id for member in description.members}


def lag(stack: Settings, name: str, sent: int) -> int:
    """Return the lag of a sink as Kafka's own tools see it."""
    group = ConsumerGroupTopicPartitions(sink_group(name, LIVE))
    admin = AdminClient(client_config(stack, "test"))
    committed = admin.list_consumer_group_offsets([group])[group.group_id].result(10)
    return sent - sum(max(0, int(part.offset)) for part in committed.topic_partitions)


def waits(port: int, name: str) -> bool:
    """Return whether a sink reports that it waits for the database."""
    return f'sightline_sink_waiting{{sink="{name}"}} 1.0' in shown(port)


def shown_lag(port: int, name: str) -> float:
    """Return the lag in records that a sink shows."""
    labels = f'{{group="{sink_group(name, LIVE)}",topic="test-{name}"}}'
    [line] = [line for line in shown(port) if line.startswith(f"{_LAG}{labels}")]
    return float(line.split()[-1])


def unready(port: int) -> list[str]:
    """Return the dependencies that a sink waits for before it serves."""
    answer = httpx2.get(f"http://127.0.0.1:{port}/readyz").json()
    return list(answer.get("waits_for", []))


def shown(port: int) -> list[str]:
    """Return the lines of a process's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return str(answer.read().decode()).splitlines()


@contextmanager
def no_database(stack: Settings) -> Iterator[None]:
    """Stop PostgreSQL, and start it again."""
    Database(stack.home).stop()
    try:
        yield
    finally:
        run_sightline(stack.home, "up")


def test_a_bad_record_alone_is_given_up_and_its_batch_survives(stack: Settings) -> None:
    values = [template(number) for number in range(6)]
    values[2] = b"\xff no protobuf"
    values[3] = template(3, quality=1000)  # the table refuses it
    values[4] = template(4, pack="refused")
    send(stack, "bad", values, partitions=1)
    with sink(stack, "bad"):
        eventually(lambda: next_offsets(stack, "bad") == [6])
    assert sorted(rows(stack, "bad")) == ["000", "001", "005"]
    assert letters(stack, "bad") == {2: "not_protobuf", 3: "row", 4: "refused"}


def test_killed_sinks_write_every_record_once(stack: Settings) -> None:
    send(stack, "killed", [template(number) for number in range(100)])
    with sink(stack, "killed") as first:
        eventually(lambda: rows(stack, "killed"))
        first.send_signal(signal.SIGKILL)
    send(stack, "killed", [template(number) for number in range(100, 200)])
    # The group waits for the dead one; then Kafka's offsets may be behind the database's.
    with sink(stack, "killed") as second:
        eventually(lambda: len(rows(stack, "killed")) == 200)
        second.send_signal(signal.SIGTERM)
        assert second.wait(15) == 0
    assert {times for times, _batch in rows(stack, "killed").values()} == {1}
    assert next_offsets(stack, "killed") == [100, 100]


def test_workers_that_join_and_leave_write_every_record_once(stack: Settings) -> None:
    send(stack, "join", [template(number) for number in range(100)])
    with sink(stack, "join"):
        eventually(lambda: rows(stack, "join"))
        with sink(stack, "join") as second:
            eventually(lambda: len(members(stack, "join")) == 2)
            send(stack, "join", [template(number) for number in range(100, 300)])
            eventually(lambda: len(rows(stack, "join")) == 300)
            second.send_signal(signal.SIGTERM)
            assert second.wait(15) == 0
        send(stack, "join", [template(number) for number in range(300, 400)])
        eventually(lambda: len(rows(stack, "join")) == 400)
    assert {times for times, _batch in rows(stack, "join").values()} == {1}


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(stack: Settings) -> None:
    send(stack, "anew", [template(number) for number in range(10)], partitions=1)
    with sink(stack, "anew") as first:
        eventually(lambda: next_offsets(stack, "anew") == [10])
        first.send_signal(signal.SIGTERM)
        first.wait(15)
    admin = AdminClient(client_config(stack, "test"))
    admin.delete_topics(["test-anew"])["test-anew"].result(10)
    eventually(lambda: "test-anew" not in admin.list_topics(timeout=5).topics)
    send(stack, "anew", [template(number) for number in range(50, 55)], partitions=1)
    with sink(stack, "anew"):
        eventually(lambda: len(rows(stack, "anew")) == 15)
    assert next_offsets(stack, "anew") == [5]


def test_a_sink_waits_for_the_database_within_its_group_and_catches_up(stack: Settings) -> None:
    send(stack, "away", [template(number) for number in range(50)])
    port = free_port(set())
    with sink(stack, "away", SIGHTLINE_METRICS_PORT=str(port)) as process:
        eventually(lambda: len(rows(stack, "away")) == 50)
        eventually(lambda: lag(stack, "away", 50) == 0)
        before = members(stack, "away")
        with no_database(stack):
            eventually(lambda: waits(port, "away"))
            assert unready(port) == ["database"]
            send(stack, "away", [template(number) for number in range(50, 100)])
            assert lag(stack, "away", 100) == 50
            eventually(lambda: shown_lag(port, "away") == 50)
            assert process.poll() is None
        eventually(lambda: len(rows(stack, "away")) == 100)
        eventually(lambda: lag(stack, "away", 100) == 0)
        eventually(lambda: shown_lag(port, "away") == 0)
        assert members(stack, "away") == before
        assert not waits(port, "away")
        assert unready(port) == []
    assert {times for times, _batch in rows(stack, "away").values()} == {1}


def test_a_connection_that_is_cut_amid_a_transaction_doubles_nothing(stack: Settings) -> None:
    send(stack, "cut", [template(number) for number in range(50)])
    with sink(stack, "cut") as process, connect(stack) as held:
        eventually(lambda: len(rows(stack, "cut")) == 50)
        for number in range(50, 80, 10):
            held.execute("LOCK TABLE counted IN EXCLUSIVE MODE")
            send(stack, "cut", [template(number + more) for more in range(10)])
            eventually(lambda: cut(stack))
            held.commit()
            eventually(lambda: len(rows(stack, "cut")) == number + 10)  # noqa: B023
        assert process.poll() is None
    assert {times for times, _batch in rows(stack, "cut").values()} == {1}


def cut(stack: Settings) -> bool:
    """End the connection of a sink that is writing; whether there was one."""
    with connect(stack, autocommit=True) as db:
        ended = db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO counted%'"
        )
        return ended.fetchone() is not None


def test_a_sink_that_dies_anywhere_writes_every_record_once(
    stack: Settings, tmp_path: Path
) -> None:
    """A named worker: who comes back has the work again at once."""
    own = {"SIGHTLINE_FAULT_INJECTION": str(tmp_path), "SIGHTLINE_INSTANCE": "1"}
    places = [
        FaultPoint.IN_RECOVERY,
        FaultPoint.BEFORE_OFFSET,
        FaultPoint.BEFORE_COMMIT,
        FaultPoint.AFTER_COMMIT,
    ]
    for rank, place in enumerate(places):
        send(stack, "dies", [template(rank * 20 + more) for more in range(20)])
        (tmp_path / f"dies.{place}").touch()
        with sink(stack, "dies", **own) as process:
            assert process.wait(20) == -signal.SIGKILL
    with sink(stack, "dies", **own):
        eventually(lambda: len(rows(stack, "dies")) == 20 * len(places))
        eventually(lambda: lag(stack, "dies", 20 * len(places)) == 0)
    assert {times for times, _batch in rows(stack, "dies").values()} == {1}
