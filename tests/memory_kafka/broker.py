"""A Kafka broker in memory: deterministic, without threads or time-outs of its own.

It keeps what the loops rely on: ordered partitions with transactions (records, control markers,
the last stable offset), consumer groups with eager rebalances, committed offsets that are part of
transactions, and fencing by transactional id. `clients.py` has the clients. The suite
in `tests/contract` runs against this broker and against a real one.

A test decides what happens when: `before` and `after` run an action, or raise an error, at the
next request of a kind; `when_idle` runs one at the next poll that finds nothing; `expire_sessions`
removes the members of killed processes from their groups.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from sightline.runtime.clock import US_PER_SECOND
from sightline.streaming.records import Partition
from tests.manual_clock import ManualClock
from tests.memory_kafka.errors import failure
from tests.memory_kafka.group import Group
from tests.memory_kafka.log import Entry, Header, PartitionLog, Transaction, TransactionState

Action = Callable[[], object]


@dataclass(eq=False)
class TransactionalId:
    """The state of a transactional id: a producer of an earlier epoch is fenced."""

    epoch: int = -1
    open: Transaction | None = None
    is_alive: Callable[[], bool] = lambda: True


class MemoryBroker:
    """The broker; clients of several processes share it."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.lock = threading.RLock()
        self.topics: dict[str, list[PartitionLog]] = {}
        self.groups: dict[str, Group] = defaultdict(Group)
        self.transactional_ids: dict[str, TransactionalId] = defaultdict(TransactionalId)
        self.is_reachable = True
        self.requests: list[str] = []
        """The requests of all clients, in order."""
        self._before: dict[str, deque[Action]] = defaultdict(deque)
        self._after: dict[str, deque[Action]] = defaultdict(deque)
        self._idle: deque[Action] = deque()
        self._ids = 0
        self._running = threading.local()

    def before(self, request: str, *actions: Action | KafkaError) -> None:
        """Run an action, or fail with an error, before each of the next requests of a kind."""
        self._before[request] += map(_as_action, actions)

    def after(self, request: str, *actions: Action | KafkaError) -> None:
        """Run an action, or lose the answer, after each of the next requests of a kind."""
        self._after[request] += map(_as_action, actions)

    def when_idle(self, *actions: Action) -> None:
        """Run an action at each of the next polls that find nothing."""
        self._idle += actions

    def begin(self, request: str) -> None:
        """Note a request of a client. Raises KafkaException as a test has asked for."""
        self.requests.append(request)
        self._run_next(self._before[request])
        if not self.is_reachable:
            raise failure(KafkaError._TIMED_OUT, is_retriable=True)

    def begin_poll(self) -> None:
        """Note the poll of a group's member, which does not fail while the broker is away."""
        self.requests.append("poll")
        self._run_next(self._before["poll"])

    def finish(self, request: str) -> None:
        """End a request whose effect is in place. Raises KafkaException as a test asked for."""
        self._run_next(self._after[request])

    def idle(self, seconds: float) -> None:
        """Let `seconds` of the clock pass in a poll that finds nothing."""
        self._run_next(self._idle)
        self.clock.advance(seconds)

    def _run_next(self, actions: deque[Action]) -> None:
        """Run one action; the requests that it makes itself set off no others."""
        if actions and not getattr(self._running, "action", False):
            self._running.action = True
            try:
                actions.popleft()()
            finally:
                self._running.action = False

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def create_topic(self, name: str, partitions: int = 1) -> None:
        self.topics[name] = [PartitionLog() for _ in range(partitions)]

    def delete_topic(self, name: str) -> None:
        del self.topics[name]

    def log(self, partition: Partition) -> PartitionLog:
        topic, number = partition
        logs = self.topics.get(topic, [])
        if number >= len(logs):
            raise failure(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return logs[number]

    def append(
        self,
        partition: Partition,
        key: bytes | None = None,
        value: bytes | None = None,
        *,
        headers: Iterable[Header] = (),
        timestamp_ms: int = 0,
        transaction: Transaction | None = None,
    ) -> Entry:
        """Append a record as a producer does; tests call it to produce without one."""
        with self.lock:
            log = self.log(partition)
            timestamp_ms = timestamp_ms or self.clock.now_us() * 1000 // US_PER_SECOND
            entry = Entry(log.high, timestamp_ms, key, value, tuple(headers), transaction)
            if transaction is not None:
                transaction.partitions.add(partition)
            return log.append(entry)

    def values(self, topic: str, *, read_committed: bool = True) -> list[bytes | None]:
        """Return the values of the records that consumers see, partition after partition."""
        return [entry.value for entry in self.visible(topic, read_committed=read_committed)]

    def visible(self, topic: str, *, read_committed: bool = True) -> list[Entry]:
        with self.lock:
            return [
                entry
                for log in self.topics[topic]
                for entry in log.entries
                if entry.offset < log.end(read_committed=read_committed)
                and entry.is_visible(read_committed=read_committed)
            ]

    def end_transaction(self, transaction: Transaction, *, commit: bool) -> None:
        with self.lock:
            state = TransactionState.COMMITTED if commit else TransactionState.ABORTED
            transaction.state = state
            now_ms = self.clock.now_us() * 1000 // US_PER_SECOND
            for topic, number in sorted(transaction.partitions):
                if topic in self.topics:
                    log = self.topics[topic][number]
                    log.append(Entry(log.high, now_ms, transaction=transaction, is_marker=True))
            if commit:
                for (group, partition), offset in transaction.offsets.items():
                    self.groups[group].offsets[partition] = offset

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return committed offsets; fails while one of them is part of an open transaction."""
        with self.lock:
            for holder in self.transactional_ids.values():
                pending = holder.open.offsets if holder.open is not None else {}
                if any((group, partition) in pending for partition in partitions):
                    raise failure(KafkaError._TIMED_OUT, is_retriable=True)
            offsets = self.groups[group].offsets
            return {part: offsets[part] for part in partitions if part in offsets}

    def expire_sessions(self) -> None:
        """Let the sessions of dead processes run out, and their transactions time out."""
        with self.lock:
            for group in self.groups.values():
                for member in list(group.members.values()):
                    if not member.is_alive():
                        group.remove(member, self.topics)
            for holder in self.transactional_ids.values():
                if holder.open is not None and not holder.is_alive():
                    self.end_transaction(holder.open, commit=False)
                    holder.open = None

    def expel(self, group: str) -> None:
        """Let the sessions of all of a group's members run out, alive as they are."""
        with self.lock:
            self.groups[group].members.clear()
            self.groups[group].generation += 1


def _as_action(action: Action | KafkaError) -> Action:
    if not isinstance(action, KafkaError):
        return action

    def fail() -> None:
        raise KafkaException(action)

    return fail
