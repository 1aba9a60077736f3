"""The transactional transform against the real broker: nothing lost, nothing doubled."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas import sightline_pb2 as pb
from schemas.topics import Topic
from sightline.runtime.service_discovery import folder
from sightline.runtime.settings import Settings
from sightline.streaming.admin import apply_topics
from sightline.streaming.client_config import producer_config
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord
from tests.support import Running, dead_letters, environment, eventually, program, read_topic

pytestmark = pytest.mark.stack


@contextmanager
def worker(
    stack: Settings, source: str, target: str, *, name: str = "first", **extra: str
) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.stack.echo_worker", source, target, name]
    with program(command, env=environment(stack.home, **extra)) as process:
        yield process


def topics(stack: Settings, name: str) -> tuple[str, str]:
    source, target = f"test-{name}-in", f"test-{name}-out"
    apply_topics(stack, [Topic(source, "none", 2), Topic(target, "none", 2)])
    return source, target


def send(stack: Settings, topic: str, values: list[str]) -> None:
    producer = CheckedProducer(producer_config(stack, "test"))
    for rank, value in enumerate(values):
        producer.send(OutputRecord(topic, "key", value.encode(), 1000 + rank, rank % 2))
    producer.flush(60)


def values(stack: Settings, topic: str, *, committed: bool = True) -> list[str]:
    return sorted(
        (record.value or b"").decode() for record in read_topic(stack, topic, committed=committed)
    )


def is_announced(stack: Settings, process: Running) -> bool:
    return any(folder(stack.home).glob(f"*-{process.pid}.json"))


def test_a_record_that_cannot_be_processed_is_a_dead_letter_and_the_rest_goes_on(
    stack: Settings,
) -> None:
    source, target = topics(stack, "poison")
    send(stack, source, ["1", "2", "poison", "3"])
    with worker(stack, source, target):
        eventually(lambda: values(stack, target) == ["1", "2", "3"], 30)

    def letters() -> list[pb.DeadLetter]:
        letters = dead_letters(stack)
        return [letter for letter in letters if letter.source.topic == source]

    (letter,) = eventually(letters)
    assert (letter.source.partition, letter.source.offset) == (0, 1)
    assert (letter.service, letter.reason, letter.value) == ("echo", "poisoned", b"poison")


def test_a_second_worker_joins_and_leaves_and_nothing_is_doubled(stack: Settings) -> None:
    source, target = topics(stack, "join")
    with worker(stack, source, target):
        send(stack, source, [f"a{number:03}" for number in range(100)])
        eventually(lambda: len(values(stack, target)) >= 50, 30)
        # Under a name of its own, or it would fence the first.
        with worker(stack, source, target, name="second") as second:
            send(stack, source, [f"b{number:03}" for number in range(100)])
            eventually(lambda: len(values(stack, target)) >= 200, 30)
            # The first may have done it all while the second was being started.
            eventually(lambda: is_announced(stack, second))
            second.send_signal(signal.SIGTERM)
            assert second.wait(15) == 0
        send(stack, source, [f"c{number:03}" for number in range(100)])
        eventually(lambda: len(values(stack, target)) >= 300, 30)
    expected = [f"{letter}{number:03}" for letter in "abc" for number in range(100)]
    assert values(stack, target) == expected


def test_a_worker_stops_at_once_where_no_broker_answers(stack: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        with worker(stack, "a", "b", KAFKA_BOOTSTRAP_SERVERS=servers) as process:
            eventually(lambda: is_announced(stack, process))
            silent.settimeout(30)
            with silent.accept()[0]:  # it asks, and has no answer
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
