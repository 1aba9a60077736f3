"""State in Kafka, wherever a worker dies: nothing lost, nothing doubled, nobody writes twice."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import client_config, producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import RETRY_FOR, OutputRecord
from tests.stack.tally_worker import topics
from tests.support import Running, environment, eventually, program, read_topic

pytestmark = pytest.mark.stack

KEYS = ("a", "b", "c", "d")
"""Two of them on each partition."""


@contextmanager
def worker(stack: Settings, name: str, log: Path | None = None, **extra: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.stack.tally_worker", name]
    env = environment(stack.home, SIGHTLINE_INSTANCE="1", **extra)
    with program(command, log, env=env) as process:
        yield process


def send(stack: Settings, name: str, rounds: int, *, headers: bool = False) -> None:
    source, _, _ = topics(name)
    said = ((RETRY_FOR, b"somebody-else"),) if headers else ()
    producer = CheckedProducer(producer_config(stack, "test"))
    for _ in range(rounds):
        for number, key in enumerate(KEYS):
            producer.send(OutputRecord(source.name, key, b"x", 1000, number % 2, said))
    producer.flush(60)


def counted(stack: Settings, name: str, *, committed: bool = True) -> list[str]:
    _, target, _ = topics(name)
    records = read_topic(stack, target.name, committed=committed)
    return sorted((record.value or b"").decode() for record in records)


def expected(rounds: int) -> list[str]:
    return [f"{key}{number:03}" for key in KEYS for number in range(1, rounds + 1)]


def finish(process: Running) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0


def test_a_worker_may_die_at_every_place_and_each_record_counts_once(
    stack: Settings, tmp_path: Path
) -> None:
    apply_topics(stack, topics("places"))
    send(stack, "places", 10)
    before_commit = tmp_path / f"tally.{FaultPoint.BEFORE_COMMIT}"
    places = [
        FaultPoint.IN_RECOVERY,
        FaultPoint.BEFORE_PRODUCE,
        FaultPoint.BEFORE_STATE,
        FaultPoint.BEFORE_COMMIT,
    ]
    for place in [*places, FaultPoint.AFTER_COMMIT]:
        (tmp_path / f"tally.{place}").touch()
        with worker(stack, "places", SIGHTLINE_FAULT_INJECTION=str(tmp_path)) as dying:
            assert dying.wait(30) == -signal.SIGKILL
        if not before_commit.exists() and place is FaultPoint.BEFORE_COMMIT:
            assert counted(stack, "places") == []
    assert 0 < len(counted(stack, "places")) < 4 * 10, "the last one died too late"
    with worker(stack, "places") as last:
        eventually(lambda: len(counted(stack, "places")) >= 4 * 10)
        send(stack, "places", 1, headers=True)  # not for this service
        send(stack, "places", 2)
        eventually(lambda: len(counted(stack, "places")) >= 4 * 12)
        finish(last)
    assert counted(stack, "places") == expected(12)


def test_who_waits_for_the_state_of_a_predecessor_can_be_stopped(stack: Settings) -> None:
    apply_topics(stack, topics("waits"))
    send(stack, "waits", 2)
    _, _, state = topics("waits")
    before = Producer(producer_config(stack, "before", transactional_id="before"))
    before.init_transactions(30)
    before.begin_transaction()
    before.produce(state.name, b"7", b"a", 0)
    before.flush(60)
    with worker(stack, "waits") as waiting:
        eventually(lambda: _members(stack, "waits"))
        finish(waiting)
    assert counted(stack, "waits") == []
    before.abort_transaction(30)
    with worker(stack, "waits") as last:
        eventually(lambda: len(counted(stack, "waits")) >= 4 * 2)
        finish(last)
    assert counted(stack, "waits") == expected(2)


def _members(stack: Settings, name: str) -> int:
    """How many workers have partitions, or are about to take them over."""
    client = AdminClient(client_config(stack, "test"))
    (group,) = client.describe_consumer_groups([f"tally-{name}"]).values()
    return len(group.result(60).members)


def test_who_comes_back_fences_the_one_that_was_only_asleep(
    stack: Settings, tmp_path: Path
) -> None:
    apply_topics(stack, topics("zombie"))
    send(stack, "zombie", 2)
    log = tmp_path / "asleep.log"
    with worker(stack, "zombie", log) as asleep:
        eventually(lambda: len(counted(stack, "zombie")) >= 4 * 2)
        asleep.send_signal(signal.SIGSTOP)
        send(stack, "zombie", 3)
        with worker(stack, "zombie") as awake:
            eventually(lambda: len(counted(stack, "zombie")) >= 4 * 5)
            asleep.send_signal(signal.SIGCONT)
            send(stack, "zombie", 3)
            assert asleep.wait(120) == 1
            assert "fenced" in log.read_text().lower()
            eventually(lambda: len(counted(stack, "zombie")) >= 4 * 8)
            finish(awake)
    assert counted(stack, "zombie") == expected(8)
