"""The transform loop on a broker in memory: every failure at every step, in no time."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka import KafkaError

from sightline.runtime import metrics
from sightline.runtime.errors import InfrastructureError, PoisonRecord
from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming import transform_loop
from sightline.streaming.client_config import consumer_config, producer_config
from sightline.streaming.records import RETRY_FOR, OutputRecord, Partition, Record
from sightline.streaming.transform_loop import TransformLoop
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.clients import MemoryClients
from tests.memory_kafka.consumer import MemoryConsumer
from tests.memory_kafka.errors import kafka_error
from tests.unit.loops_support import CrashError, dead_letters, dies, dies_at, new_broker

SOURCE, TARGET, STATE = "source", "target", "state"
FIRST: Partition = (SOURCE, 0)
SECOND: Partition = (SOURCE, 1)
GROUP = "tally"


@pytest.fixture
def settings() -> Settings:
    return Settings(kafka_bootstrap_servers="memory:9092")


@pytest.fixture
def broker() -> MemoryBroker:
    return new_broker(source=2, target=2, state=2)


class Tally:
    """Counts the records of each partition, which is state; gives each its number."""

    def __init__(self) -> None:
        self.counts: Counter[Partition] = Counter()
        self.restored: list[tuple[Partition, int, bytes | None]] = []
        self.forgotten: list[Partition] = []
        self._changed: set[Partition] = set()

    def process(self, record: Record) -> Iterator[OutputRecord]:
        self.counts[record.topic_partition] += 1
        self._changed.add(record.topic_partition)
        number = self.counts[record.topic_partition]
        value = f"{(record.value or b'').decode()}{number}".encode()
        yield OutputRecord(TARGET, "key", value, record.timestamp_ms, record.partition)
        if record.value == b"poison":
            raise PoisonRecord("poisoned", "as the test wants it")

    def state(self) -> Iterator[OutputRecord]:
        for topic, number in sorted(self._changed):
            count = self.counts[topic, number]
            yield OutputRecord(STATE, "count", str(count).encode(), 0, number)
        self._changed.clear()

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        self.restored.append((partition, next_offset, record.value))
        self.counts[partition] = int(record.value or b"0")

    def forget(self, partitions: Iterable[Partition]) -> None:
        for partition in list(partitions):
            self.forgotten.append(partition)
            self.counts.pop(partition, None)
            self._changed.discard(partition)


class Worker:
    """One process of the stage."""

    def __init__(self, settings: Settings, broker: MemoryBroker, name: str = "worker") -> None:
        self.process = MemoryClients(broker)
        self.tally = Tally()
        self.stop = Stop(10.0)
        self._broker = broker
        self._loop = TransformLoop(
            "tally",
            self.tally,
            [SOURCE],
            consumer_config(settings, name, GROUP),
            producer_config(settings, name, name),
            batch_records=3,
            batch_seconds=0.2,
            state_topic=STATE,
            clock=broker.clock,
            clients=self.process,
        )

    def run(self) -> None:
        """Work until a poll finds nothing."""
        self._broker.when_idle(self.stop.request)
        self._loop.run(self.stop)


@pytest.fixture
def worker(settings: Settings, broker: MemoryBroker) -> Worker:
    return Worker(settings, broker)


def send(broker: MemoryBroker, *values: str, partition: Partition = FIRST) -> None:
    for value in values:
        broker.append(partition, b"key", value.encode())


def nothing() -> None:
    """Let one poll, or one request, pass."""


def outputs(broker: MemoryBroker) -> list[str]:
    return [(value or b"").decode() for value in broker.values(TARGET)]


def saved(broker: MemoryBroker) -> dict[int, str]:
    """Return the latest state of each partition."""
    states = [(log.last_stable_offset, number) for number, log in enumerate(broker.topics[STATE])]
    latest = {}
    for end, number in states:
        for entry in broker.topics[STATE][number].entries:
            if entry.offset < end and entry.is_visible(read_committed=True):
                latest[number] = (entry.value or b"").decode()
    return latest


def numbered(*values: str) -> list[str]:
    """Return values of one partition as they come out of an undisturbed run."""
    return [f"{value}{number}" for number, value in enumerate(values, 1)]


def competitor(settings: Settings, broker: MemoryBroker) -> MemoryConsumer:
    """Return another member of the group, which joins and leaves as the test wants."""
    return MemoryClients(broker).consumer(consumer_config(settings, "competitor", GROUP))


def test_outputs_state_and_offsets_are_committed_together(
    worker: Worker, broker: MemoryBroker
) -> None:
    send(broker, "a", "b", "c", "d")
    send(broker, "x", partition=SECOND)
    worker.run()
    assert outputs(broker) == [*numbered("a", "b", "c", "d"), "x1"]
    assert saved(broker) == {0: "4", 1: "1"}
    assert broker.groups[GROUP].offsets == {FIRST: 4, SECOND: 1}
    assert broker.requests.count("commit_transaction") == 2  # three records, and two


def test_a_worker_goes_on_with_the_state_of_its_predecessor(
    settings: Settings, broker: MemoryBroker
) -> None:
    send(broker, "a", "b")
    Worker(settings, broker).run()
    send(broker, "c")
    second = Worker(settings, broker)
    second.run()
    assert outputs(broker) == numbered("a", "b", "c")
    assert second.tally.restored == [(FIRST, 2, b"2")]


# Rebalances


def test_a_rebalance_within_a_batch_drops_what_is_not_committed(
    settings: Settings, worker: Worker, broker: MemoryBroker
) -> None:
    send(broker, "a", "b")
    other = competitor(settings, broker)

    def join() -> None:
        other.subscribe([SOURCE])
        other.poll(0)

    # The first poll gives the assignment and a record; then another member joins, and leaves.
    broker.before("poll", nothing, join, lambda: other.poll(0), other.close)
    broker.when_idle(nothing, nothing)
    worker.run()
    assert outputs(broker) == numbered("a", "b")
    assert broker.groups[GROUP].offsets[FIRST] == 2
    assert FIRST in worker.tally.forgotten  # the records in hand, and the state that they made
    assert broker.groups[GROUP].generation == 3


def test_a_rebalance_waits_for_the_commit_under_way(
    settings: Settings, worker: Worker, broker: MemoryBroker
) -> None:
    """The next owner reads the committed offset: the commit must be over before it does."""
    send(broker, "a", "b", "c")
    other = competitor(settings, broker)
    committed: list[dict[Partition, int]] = []
    gate = threading.Event()
    broker.before("commit_transaction", lambda: gate.wait(10))

    def join() -> None:
        other.subscribe([SOURCE])
        other.poll(0)
        threading.Timer(0.05, gate.set).start()

    def take_over() -> None:
        other.poll(0)
        committed.append(dict(broker.groups[GROUP].offsets))

    # Three records and the end of the other partition; then another member joins.
    broker.before("poll", nothing, nothing, nothing, nothing, join, take_over)
    broker.when_idle(nothing, nothing, nothing)
    worker.run()
    assert committed == [{FIRST: 3}]
    assert outputs(broker) == numbered("a", "b", "c")


def test_state_at_the_committed_offset_is_kept_through_a_rebalance(
    settings: Settings, worker: Worker, broker: MemoryBroker
) -> None:
    send(broker, "a")
    other = competitor(settings, broker)

    def join() -> None:
        other.subscribe([SOURCE])
        other.poll(0)

    def leave() -> None:
        other.close()
        send(broker, "b")

    broker.when_idle(nothing, join, lambda: other.poll(0), leave)
    worker.run()
    assert outputs(broker) == numbered("a", "b")
    assert worker.tally.restored == []
    assert FIRST not in worker.tally.forgotten


def test_offsets_are_refused_after_the_group_went_on(worker: Worker, broker: MemoryBroker) -> None:
    send(broker, "a")
    broker.before("send_offsets_to_transaction", lambda: broker.expel(GROUP))
    with pytest.raises(InfrastructureError):
        worker.run()
    assert outputs(broker) == []
    assert broker.groups[GROUP].offsets == {}
    assert "abort_transaction" in broker.requests


def test_a_worker_that_lost_its_partitions_ends(worker: Worker, broker: MemoryBroker) -> None:
    send(broker, "a")
    broker.when_idle(nothing, lambda: broker.expel(GROUP), nothing)
    with pytest.raises(InfrastructureError, match="went on without this worker"):
        worker.run()


# Crashes: see the numbered steps in `sightline.streaming.transform_loop`


@pytest.mark.parametrize(
    "place",
    [
        FaultPoint.IN_RECOVERY,
        FaultPoint.BEFORE_PRODUCE,
        FaultPoint.BEFORE_STATE,
        FaultPoint.BEFORE_COMMIT,
        FaultPoint.AFTER_COMMIT,
    ],
)
def test_a_crash_at_a_place_leaves_an_undisturbed_run(
    settings: Settings, broker: MemoryBroker, place: FaultPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(broker, "a", "b")
    Worker(settings, broker).run()
    send(broker, "c", "d")
    dead = Worker(settings, broker)
    with monkeypatch.context() as patch:
        patch.setattr(transform_loop, "fault_point", dies_at(place, dead.process))
        # Its main thread may notice first that the clients are gone.
        with pytest.raises((CrashError, InfrastructureError)):
            dead.run()
    before = outputs(broker)
    assert before == numbered("a", "b", *(["c", "d"] if place == FaultPoint.AFTER_COMMIT else []))
    check_successor(settings, broker)


@pytest.mark.parametrize(
    ("request_name", "is_after"),
    [
        ("begin_transaction", False),  # 2
        ("produce", False),  # 2, of the first output
        ("send_offsets_to_transaction", False),  # 4
        ("send_offsets_to_transaction", True),
        ("commit_transaction", False),  # 5
        ("commit_transaction", True),
    ],
)
def test_a_crash_at_a_request_leaves_an_undisturbed_run(
    settings: Settings, broker: MemoryBroker, request_name: str, is_after: bool
) -> None:
    send(broker, "a", "b")
    Worker(settings, broker).run()
    send(broker, "c", "d")
    dead = Worker(settings, broker)
    inject = broker.after if is_after else broker.before
    inject(request_name, dies(dead.process))
    with pytest.raises((CrashError, InfrastructureError)):
        dead.run()
    check_successor(settings, broker)


def check_successor(settings: Settings, broker: MemoryBroker) -> None:
    """Check that another worker, of the same name, makes of a dead one's work an undisturbed run.

    Its partitions move when the dead one's session has run out; the dead one's transaction ends
    when the successor takes its name.
    """
    for group in broker.groups.values():
        for member in list(group.members.values()):
            group.remove(member, broker.topics)
    send(broker, "e")
    Worker(settings, broker).run()
    assert outputs(broker) == numbered("a", "b", "c", "d", "e")
    assert saved(broker) == {0: "5"}
    assert broker.groups[GROUP].offsets[FIRST] == 5


def test_a_transaction_that_nobody_ends_is_waited_for_by_another_worker(
    settings: Settings, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name nothing fences the dead one: its offsets are open until a time-out."""
    send(broker, "a")
    dead, other = Worker(settings, broker, "dead"), Worker(settings, broker, "other")
    with monkeypatch.context() as patch:
        patch.setattr(
            transform_loop, "fault_point", dies_at(FaultPoint.BEFORE_COMMIT, dead.process)
        )
        with pytest.raises((CrashError, InfrastructureError)):
            dead.run()
    for member in list(broker.groups[GROUP].members.values()):
        broker.groups[GROUP].remove(member, broker.topics)
    broker.before("committed", nothing, nothing, broker.expire_sessions)
    other.run()
    assert outputs(broker) == numbered("a")
    assert broker.requests.count("committed") == 1 + 3  # of the dead one and of the other


# Aborts and refusals


@pytest.mark.parametrize("request_name", ["send_offsets_to_transaction", "commit_transaction"])
def test_a_refused_request_aborts_and_ends_the_worker(
    settings: Settings, broker: MemoryBroker, request_name: str
) -> None:
    send(broker, "a", "b")
    broker.before(request_name, kafka_error(KafkaError.INVALID_TXN_STATE, aborts=True))
    with pytest.raises(InfrastructureError, match="tally"):
        Worker(settings, broker).run()
    assert broker.requests[-1] == "abort_transaction"
    assert (outputs(broker), saved(broker), broker.groups[GROUP].offsets) == ([], {}, {})
    Worker(settings, broker).run()
    assert outputs(broker) == numbered("a", "b")


def test_an_output_that_kafka_refuses_aborts_its_batch(
    settings: Settings, broker: MemoryBroker
) -> None:
    send(broker, "a", "b")
    broker.before("produce", nothing, kafka_error(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(InfrastructureError):
        Worker(settings, broker).run()
    assert (outputs(broker), broker.groups[GROUP].offsets) == ([], {})
    Worker(settings, broker).run()
    assert outputs(broker) == numbered("a", "b")


@pytest.mark.parametrize("request_name", ["send_offsets_to_transaction", "commit_transaction"])
@pytest.mark.parametrize("is_answer_lost", [False, True])
def test_a_request_that_fails_for_a_moment_is_made_again(
    worker: Worker, broker: MemoryBroker, request_name: str, is_answer_lost: bool
) -> None:
    send(broker, "a", "b")
    inject = broker.after if is_answer_lost else broker.before
    inject(request_name, *[kafka_error(KafkaError._TIMED_OUT)] * 2)
    worker.run()
    assert outputs(broker) == numbered("a", "b")
    assert broker.requests.count(request_name) == 3


def test_a_broker_that_stays_away_ends_the_worker(worker: Worker, broker: MemoryBroker) -> None:
    send(broker, "a")

    def go_away() -> None:
        broker.is_reachable = False

    broker.before("commit_transaction", go_away)
    broker.when_idle(*[nothing] * 1000)
    with pytest.raises(InfrastructureError, match="Timed out"):
        worker.run()
    assert broker.requests.count("commit_transaction") > 10


def test_a_second_worker_of_the_same_name_fences_the_first(
    settings: Settings, broker: MemoryBroker
) -> None:
    send(broker, "a")
    first = Worker(settings, broker)
    thief = MemoryClients(broker).producer(producer_config(settings, "worker", "worker"))
    broker.before("begin_transaction", thief.init_transactions)
    with pytest.raises(InfrastructureError):
        first.run()
    assert (outputs(broker), broker.groups[GROUP].offsets) == ([], {})


# Poison records


def test_a_poison_record_is_a_dead_letter_and_its_batch_goes_on(
    worker: Worker, broker: MemoryBroker
) -> None:
    send(broker, "a", "poison", "b")
    worker.run()
    assert outputs(broker) == numbered("a", "poison", "b")  # outputs before the error count
    assert dead_letters(broker) == [(1, "poisoned")]
    assert broker.groups[GROUP].offsets[FIRST] == 3


def test_a_dead_letter_is_sent_once_though_its_worker_dies(
    settings: Settings, broker: MemoryBroker
) -> None:
    send(broker, "poison")
    dead = Worker(settings, broker)
    broker.before("commit_transaction", dies(dead.process))
    with pytest.raises((CrashError, InfrastructureError)):
        dead.run()
    broker.expire_sessions()
    Worker(settings, broker).run()
    assert dead_letters(broker) == [(0, "poisoned")]


def test_a_replayed_dead_letter_of_another_service_is_passed_over(
    worker: Worker, broker: MemoryBroker
) -> None:
    for service in (b"other", b"tally"):
        broker.append(FIRST, b"key", service, headers=[(RETRY_FOR, service)])
    worker.run()
    assert outputs(broker) == ["tally1"]
    assert broker.groups[GROUP].offsets[FIRST] == 2


# Shutdown


def test_a_stop_commits_what_is_in_hand(worker: Worker, broker: MemoryBroker) -> None:
    send(broker, "a", "b", "c")
    # The stop comes amid the batch; the third record is left to the successor.
    broker.before("poll", nothing, nothing, worker.stop.request)
    worker.run()
    processed = len(outputs(broker))
    assert 0 < processed <= 3
    assert broker.groups[GROUP].offsets[FIRST] == processed


def test_a_worker_stops_before_a_broker_has_answered(worker: Worker, broker: MemoryBroker) -> None:
    broker.is_reachable = False
    broker.before("init_transactions", nothing, worker.stop.request)
    worker.run()
    assert "poll" not in broker.requests


def test_a_worker_that_stops_in_its_restore_takes_nothing_over(
    settings: Settings, broker: MemoryBroker
) -> None:
    send(broker, "a")
    Worker(settings, broker).run()
    send(broker, "b")
    stopped = Worker(settings, broker)
    broker.before("committed", stopped.stop.request)
    stopped.run()
    assert outputs(broker) == numbered("a")
    Worker(settings, broker).run()
    assert outputs(broker) == numbered("a", "b")


def test_the_lag_that_is_shown_grows_while_the_worker_is_behind(
    worker: Worker, broker: MemoryBroker
) -> None:
    shown: list[tuple[float, float]] = []

    def second() -> None:
        """Let a second pass in which two records come, of which the worker reads one."""
        broker.clock.advance(1.0)
        send(broker, "a", "b")
        shown.append(
            (
                metrics.CONSUMER_LAG_RECORDS.labels(GROUP, SOURCE)._value.get(),
                metrics.CONSUMER_LAG_SECONDS.labels(GROUP, SOURCE)._value.get(),
            )
        )

    broker.before("poll", *[second] * 60)
    worker.run()
    records, seconds = zip(*shown, strict=True)
    assert records[-1] == pytest.approx(60, abs=5)
    assert seconds[-1] == pytest.approx(30, abs=5)
    assert list(seconds[5:]) == sorted(seconds[5:])
    assert seconds[5] < seconds[30] < seconds[-1]
