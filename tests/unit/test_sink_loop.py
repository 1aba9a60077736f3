"""The sink loop on a broker and a target in memory: every failure at every step, in no time."""

import itertools

import pytest
from confluent_kafka import KafkaError, TopicPartition

from schemas import sightline_pb2 as pb
from schemas.naming import sink_group
from schemas.topics import LIVE
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.fault_injection import FaultPoint
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming.client_config import consumer_config
from sightline.streaming.records import RETRY_FOR, RETRY_OF, Partition
from sinks.runtime import loop as sink_loop
from sinks.runtime.loop import SinkLoop
from sinks.settings import SinkSettings
from tests.memory_kafka.broker import MemoryBroker
from tests.memory_kafka.clients import MemoryClients
from tests.memory_kafka.consumer import MemoryConsumer
from tests.memory_kafka.errors import kafka_error
from tests.memory_target import MemorySink, MemoryTarget
from tests.unit.loops_support import CrashError, dead_letters, dies, dies_at, new_broker

TOPIC = "templates"
FIRST: Partition = (TOPIC, 0)
SECOND: Partition = (TOPIC, 1)
GROUP = sink_group("test-sink", LIVE)


@pytest.fixture
def settings() -> Settings:
    return Settings(kafka_bootstrap_servers="memory:9092", sinks=SinkSettings(batch_records=10))


@pytest.fixture
def broker() -> MemoryBroker:
    return new_broker(templates=2)


@pytest.fixture
def target() -> MemoryTarget:
    return MemoryTarget()


class Worker:
    """One process of the sink."""

    def __init__(self, settings: Settings, broker: MemoryBroker, target: MemoryTarget) -> None:
        self.process = MemoryClients(broker)
        self.sink = MemorySink(TOPIC, target)
        self.loop = SinkLoop(self.sink, settings, broker.clock, self.process)
        self.stop = Stop(10.0)
        self._broker = broker

    def run(self) -> None:
        """Work until a poll finds nothing."""
        self._broker.when_idle(self.stop.request)
        self.loop.run(self.stop)


@pytest.fixture
def worker(settings: Settings, broker: MemoryBroker, target: MemoryTarget) -> Worker:
    return Worker(settings, broker, target)


def nothing() -> None:
    """Let one poll, or one step, pass."""


def template(name: str, pack: str = "") -> bytes:
    return pb.Template(template_id=name, pack=pack).SerializeToString()


def send(broker: MemoryBroker, *names: str, partition: Partition = FIRST, pack: str = "") -> None:
    for name in names:
        broker.append(partition, b"key", template(name, pack))


def once(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 1)


def test_rows_and_offsets_are_committed_and_kafka_is_told(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a", "b")
    send(broker, "c", partition=SECOND)
    worker.run()
    assert target.contents.rows == once("a", "b", "c")
    assert target.contents.offsets == {FIRST: 2, SECOND: 1}
    assert broker.groups[GROUP].offsets == {FIRST: 2, SECOND: 1}
    assert sorted(name for batch in worker.sink.batches for name in batch) == ["a", "b", "c"]
    assert len(worker.sink.batches) == 1
    assert worker.stop.health.unavailable() == []


def test_a_batch_is_as_large_as_the_settings_allow(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    names = [f"{number:02}" for number in range(25)]
    send(broker, *names)
    worker.run()
    assert [len(batch) for batch in worker.sink.batches] == [10, 10, 5]
    assert target.contents.rows == once(*names)


def test_the_target_and_not_kafka_says_where_to_go_on(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a", "b", "c")
    target.contents.offsets[FIRST] = 2
    broker.groups[GROUP].offsets[FIRST] = 1
    worker.run()
    assert target.contents.rows == once("c")
    assert broker.groups[GROUP].offsets[FIRST] == 3


# Rebalances


def competitor(settings: Settings, broker: MemoryBroker) -> MemoryConsumer:
    """Return another member of the group, which joins and leaves as the test wants."""
    return MemoryClients(broker).consumer(consumer_config(settings, "competitor", GROUP))


def test_a_rebalance_within_a_batch_loses_and_doubles_nothing(
    settings: Settings, worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a", "b", "c")
    send(broker, "d", "e", "f", partition=SECOND)
    other = competitor(settings, broker)

    def join() -> None:
        send(broker, "g")
        other.subscribe([TOPIC])
        other.poll(0)

    # Within the collection of the first batch another member joins, gets its share, and leaves.
    broker.when_idle(join, lambda: other.poll(0), other.close, nothing)
    worker.run()
    assert other.assignment() == []
    assert target.contents.rows == once("a", "b", "c", "d", "e", "f", "g")
    assert target.contents.offsets == {FIRST: 4, SECOND: 3}
    assert broker.groups[GROUP].generation == 3


def test_a_batch_in_hand_is_dropped_when_its_partition_goes_to_another(
    settings: Settings, worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a", partition=SECOND)
    other = competitor(settings, broker)

    def join() -> None:
        other.subscribe([TOPIC])
        other.poll(0)

    broker.when_idle(join, lambda: other.poll(0))
    worker.run()
    assert worker.sink.batches == []
    assert target.contents.offsets == {FIRST: 0, SECOND: 0}
    assert [part.partition for part in other.assignment()] == [1]


def test_a_worker_that_lost_its_partition_unawares_writes_nothing_twice(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a", "b")

    def another_writes() -> None:
        target.contents.rows.update(["a"])
        target.contents.offsets[FIRST] = 1

    target.before("unwritten", another_writes)
    worker.run()
    assert target.contents.rows == once("a", "b")
    assert worker.sink.batches == [["b"]]


# Crashes: see the numbered steps in `sinks.runtime.loop`


@pytest.mark.parametrize(
    "place",
    [
        FaultPoint.IN_RECOVERY,
        FaultPoint.BEFORE_OFFSET,
        FaultPoint.BEFORE_COMMIT,
        FaultPoint.AFTER_COMMIT,
    ],
)
def test_a_crash_at_a_place_loses_and_doubles_nothing(
    settings: Settings,
    broker: MemoryBroker,
    target: MemoryTarget,
    place: FaultPoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(broker, "a", "b")
    first, second = Worker(settings, broker, target), Worker(settings, broker, target)
    with monkeypatch.context() as patch:
        patch.setattr(sink_loop, "fault_point", dies_at(place, first.process))
        with pytest.raises(CrashError):
            first.run()
    broker.expire_sessions()
    send(broker, "c")
    second.run()
    assert target.contents.rows == once("a", "b", "c")
    assert target.contents.offsets[FIRST] == broker.groups[GROUP].offsets[FIRST] == 3


@pytest.mark.parametrize(
    ("step", "letters"),
    [
        ("unwritten", 1),  # 1
        ("write", 2),  # 2, in which the letter may be sent already
        ("save_offsets", 2),  # 3 is done: the letter is in Kafka, its note is not
        ("commit", 2),  # 4
        ("committed", 1),  # 5
    ],
)
def test_a_crash_at_a_step_loses_and_doubles_no_row(
    settings: Settings, broker: MemoryBroker, target: MemoryTarget, step: str, letters: int
) -> None:
    broker.append(FIRST, b"key", b"\xff no protobuf")
    send(broker, "a", "b")
    first, second = Worker(settings, broker, target), Worker(settings, broker, target)
    target.before(step, dies(first.process))
    with pytest.raises(CrashError):
        first.run()
    broker.expire_sessions()
    second.run()
    assert target.contents.rows == once("a", "b")
    assert target.contents.dead_letters == {(FIRST, 0): False}
    assert dead_letters(broker) == letters * [(0, "not_protobuf")]
    assert target.contents.offsets[FIRST] == broker.groups[GROUP].offsets[FIRST] == 3


def test_a_crash_before_kafka_is_told_is_made_good_by_the_successor(
    settings: Settings, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a")
    first, second = Worker(settings, broker, target), Worker(settings, broker, target)
    broker.before("commit", dies(first.process))  # 6
    with pytest.raises(CrashError):
        first.run()
    assert broker.groups[GROUP].offsets == {}
    broker.expire_sessions()
    second.run()
    assert target.contents.rows == once("a")
    assert broker.groups[GROUP].offsets == {FIRST: 1}


# Poison records


@pytest.mark.parametrize(("pack", "reason"), [("invalid", "invalid"), ("refused", "row")])
def test_a_refused_record_is_found_by_halves_and_its_batch_is_written(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget, pack: str, reason: str
) -> None:
    send(broker, "a", "b")
    send(broker, "bad", pack=pack)
    send(broker, "c", "d")
    worker.run()
    assert target.contents.rows == once("a", "b", "c", "d")
    assert dead_letters(broker) == [(2, reason)]
    assert target.contents.dead_letters == {(FIRST, 2): False}
    assert target.contents.offsets[FIRST] == 5
    assert [len(batch) for batch in worker.sink.batches] == [5, 2, 3, 1, 2]


def test_a_record_that_is_no_message_is_a_dead_letter(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    broker.append(FIRST, b"key", b"\xff no protobuf")
    broker.append(FIRST, b"key", None)
    send(broker, "a")
    worker.run()
    assert target.contents.rows == once("a")
    assert dead_letters(broker) == [(0, "not_protobuf"), (1, "empty")]


def test_no_offset_moves_past_a_letter_that_kafka_refuses(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    send(broker, "a")
    send(broker, "bad", pack="invalid")
    broker.before("produce", kafka_error(KafkaError.MSG_SIZE_TOO_LARGE))
    with pytest.raises(InfrastructureError, match="refused a record"):
        worker.run()
    assert target.contents.rows == {}
    assert target.contents.offsets[FIRST] == 0


def test_a_replayed_dead_letter_is_written_once_and_by_its_own_service(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    target.contents.dead_letters[FIRST, 7] = False
    headers = [(RETRY_FOR, b"test-sink"), (RETRY_OF, b"7")]
    for name in ("again", "doubled"):
        broker.append(FIRST, b"key", template(name), headers=headers)
    broker.append(FIRST, b"key", template("foreign"), headers=[(RETRY_FOR, b"other")])
    worker.run()
    assert target.contents.rows == once("again")
    assert target.contents.offsets[FIRST] == 3
    assert dead_letters(broker) == []


# A target that goes away


@pytest.mark.parametrize("step", ["next_offsets", "unwritten", "write", "save_offsets", "commit"])
def test_a_target_that_goes_away_is_waited_for(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget, step: str
) -> None:
    send(broker, "a", "b")

    def go_away() -> None:
        target.is_away = True

    def come_back() -> None:
        assert "memory" in worker.stop.health.unavailable()
        assert broker.groups[GROUP].generation == 1  # it has stayed in its group
        assert worker.process.consumers[0].assignment() == []  # and reads nothing
        target.is_away = False

    target.before(step, go_away)
    target.before("connect", nothing, nothing, come_back)
    # Polls of the pauses, in which it reads nothing, and those of the end of the batch.
    broker.when_idle(*([nothing] * 20))
    worker.run()
    assert target.contents.rows == once("a", "b")
    assert target.contents.offsets[FIRST] == 2
    assert worker.stop.health.unavailable() == []
    assert target.connections == 3


def test_pauses_grow_while_the_target_is_away(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    target.is_away = True
    times: list[float] = []

    def note() -> None:
        times.append(broker.clock.monotonic())

    target.before("connect", *([note] * 6), worker.stop.request)
    worker.loop.run(worker.stop)
    pauses = [round(later - before, 1) for before, later in itertools.pairwise(times)]
    assert pauses == pytest.approx([0.5, 1.0, 2.0, 4.0, 5.0], abs=0.25)


def test_a_commit_whose_outcome_is_unknown_doubles_nothing(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    """The connection is cut after the target has committed and before it has said so."""
    send(broker, "a", "b")

    def cut() -> None:
        target.is_away = True

    def restore() -> None:
        target.is_away = False

    target.before("committed", cut)
    target.before("connect", nothing, restore)
    broker.when_idle(*([nothing] * 10))
    worker.run()
    assert target.contents.rows == once("a", "b")
    assert worker.sink.batches == [["a", "b"]]


# Kafka


def test_a_topic_that_was_created_anew_is_read_from_its_beginning(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    target.contents.offsets[FIRST] = 10
    send(broker, "a", "b")
    worker.run()
    assert target.contents.rows == once("a", "b")
    assert target.contents.offsets[FIRST] == 2


def test_a_broker_that_does_not_tell_the_ends_is_asked_again(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    target.contents.offsets[FIRST] = 1
    send(broker, "a", "b")
    broker.before("get_watermark_offsets", kafka_error(KafkaError._TIMED_OUT))
    broker.when_idle(*([nothing] * 4))
    worker.run()
    assert target.contents.rows == once("b")


def test_a_fatal_error_of_kafka_ends_the_loop(
    worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    target.contents.offsets[FIRST] = 1
    send(broker, "a")
    broker.before("get_watermark_offsets", kafka_error(KafkaError._FATAL, fatal=True))
    with pytest.raises(InfrastructureError, match="test-sink"):
        worker.run()


def test_records_of_open_and_aborted_transactions_are_not_written(
    settings: Settings, worker: Worker, broker: MemoryBroker, target: MemoryTarget
) -> None:
    producer = MemoryClients(broker).producer({"transactional.id": "upstream"})
    producer.init_transactions()
    for name, is_committed in (("aborted", False), ("committed", True)):
        producer.begin_transaction()
        producer.produce(TOPIC, template(name), b"key", 0)
        producer.poll(0)
        if is_committed:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.begin_transaction()
    producer.produce(TOPIC, template("open"), b"key", 0)
    producer.poll(0)
    worker.run()
    assert target.contents.rows == once("committed")
    assert target.contents.offsets[FIRST] == 3
    (committed,) = competitor(settings, broker).committed([TopicPartition(*FIRST)])
    assert committed.offset == 3
