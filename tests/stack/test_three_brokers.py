"""`sightline up --brokers 3`: any one node may die, and nothing that was acknowledged is lost."""

import threading
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from ops.local_stack.broker import Broker
from ops.local_stack.cluster import Cluster
from ops.local_stack.status import status
from schemas.topics import FACES, all_topics
from sightline.runtime.settings import Settings
from sightline.streaming.admin import topic_states
from sightline.streaming.client_config import client_config, producer_config
from sightline.streaming.producer import CheckedProducer, OnDelivery
from sightline.streaming.records import OutputRecord
from tests.support import eventually, read_topic, run_sightline

pytestmark = pytest.mark.stack


class Writer(threading.Thread):
    """Writes numbers until it is told to stop, and keeps those that were acknowledged."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.acknowledged: list[int] = []
        self.stop = threading.Event()
        self._producer = CheckedProducer(producer_config(settings, "test-writer"))

    def run(self) -> None:
        number = 0
        while not self.stop.wait(0.01):
            out = OutputRecord(
                FACES.name, "site", str(number).encode(), 1000, number % FACES.partitions
            )
            self._producer.send(out, self._taker(number))
            number += 1
        self._producer.flush(60)

    def _taker(self, number: int) -> OnDelivery:
        def taken(error: KafkaError | None) -> None:
            assert error is None
            self.acknowledged.append(number)

        return taken


def states(settings: Settings) -> dict[str, str]:
    return {part["part"]: part["state"] for part in status(settings).parts}


def in_sync(settings: Settings) -> set[int]:
    """How many nodes have all of a partition, over the partitions of every topic."""
    topics = AdminClient(client_config(settings, "test")).list_topics(timeout=60).topics
    return {len(part.isrs) for topic in topics.values() for part in topic.partitions.values()}


def leader(settings: Settings) -> int:
    admin = AdminClient(client_config(settings, "test"))
    return int(admin.list_topics(FACES.name, timeout=60).topics[FACES.name].partitions[0].leader)


def test_a_node_killed_amid_writing_loses_nothing_and_comes_back_with_up(home: Path) -> None:
    settings = Settings(home=home)
    run_sightline(home, "up", "--brokers", "3")
    everybody = dict.fromkeys(("kafka-1", "kafka-2", "kafka-3", "database", "objects"), "up")
    assert states(settings) == everybody
    eventually(
        lambda: all(state.in_order for state in topic_states(settings, all_topics())),
        what="every replica is in step",
    )
    assert in_sync(settings) == {3}

    writer = Writer(settings)
    writer.start()
    try:
        eventually(lambda: len(writer.acknowledged) > 50)
        victim = Broker(home, leader(settings))
        (killed,) = victim.running()
        killed.kill()
        psutil.wait_procs([killed], timeout=10)
        before = len(writer.acknowledged)
        # Far beyond what was under way: every partition has a leader again.
        eventually(lambda: len(writer.acknowledged) > before + 200)
        assert states(settings) == everybody | {f"kafka-{victim.node}": "down"}

        kept = {process.pid for process in Cluster(home).running()}
        run_sightline(home, "up")
        (back,) = victim.running()
        assert {process.pid for process in Cluster(home).running()} == kept | {back.pid}
        eventually(lambda: in_sync(settings) == {3})
    finally:
        writer.stop.set()
        writer.join(60)
        assert not writer.is_alive()
    assert states(settings) == everybody
    found = sorted(int(record.value or b"") for record in read_topic(settings, FACES.name))
    assert found == sorted(writer.acknowledged)

    other = run_sightline(home, "up", "--brokers", "1", check=False)
    assert other.returncode == 1
    assert other.stderr.count("\n") == 1
    assert "--brokers 3" in other.stderr
    for process in Cluster(home).running():
        process.kill()  # nobody needs them to end well
