"""A producer of the broker in memory, with the interface of confluent-kafka's."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sightline.streaming.clients import ClientConfig, DeliveryCallback
from sightline.streaming.records import Partition
from tests.memory_kafka.client import Client, Process, place_of
from tests.memory_kafka.consumer import GroupMembership
from tests.memory_kafka.errors import failure
from tests.memory_kafka.log import Transaction, TransactionState

_QUEUE_RECORDS = 1000


@dataclass
class Queued:
    """A record that the producer has not handed to the broker yet."""

    partition: Partition
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    on_delivery: DeliveryCallback | None


class MemoryProducer(Client):
    """A producer, transactional where its config has a transactional id."""

    def __init__(self, process: Process, config: ClientConfig) -> None:
        super().__init__(process)
        self._transactional_id = str(config.get("transactional.id", ""))
        self._epoch = -1
        self._transaction: Transaction | None = None
        self._abort_reason: KafkaError | None = None
        self._queue: deque[Queued] = deque()
        self._reports: deque[Callable[[], None]] = deque()

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = -1,
        *,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        if self._transactional_id and self._transaction is None:
            raise failure(KafkaError._STATE)
        if len(self._queue) >= _QUEUE_RECORDS:
            raise BufferError("Local: Queue full")
        key_bytes, count = _as_bytes(key), len(self._broker.topics.get(topic, [])) or 1
        if partition < 0:
            partition = (murmur2(key_bytes or b"") & 0x7FFFFFFF) % count
        place = (topic, partition)
        record = Queued(
            place, key_bytes, _as_bytes(value), tuple(headers or ()), timestamp, on_delivery
        )
        self._queue.append(record)

    def _deliver(self) -> None:
        while self._queue and self._broker.is_reachable and self._process.is_alive:
            record = self._queue.popleft()
            error, offset = None, -1
            try:
                self._broker.begin("produce")
                self._check_epoch()
                entry = self._broker.append(
                    record.partition,
                    record.key,
                    record.value,
                    headers=record.headers,
                    timestamp_ms=record.timestamp_ms,
                    transaction=self._transaction,
                )
                offset = entry.offset
            except KafkaException as exception:
                error = exception.args[0]
                self._abort_reason = error
            self._report(record, error, offset)

    def _report(self, record: Queued, error: KafkaError | None, offset: int) -> None:
        callback = record.on_delivery
        if callback is not None:
            topic, number = record.partition
            message = Message(
                topic=topic, partition=number, offset=offset, key=record.key, value=record.value
            )
            self._reports.append(lambda: callback(error, message))

    def poll(self, timeout: float = -1) -> int:
        self._deliver()
        served = 0
        while self._reports:
            self._reports.popleft()()
            served += 1
        if not served:
            self._broker.clock.advance(timeout)
        return served

    def flush(self, timeout: float = -1) -> int:
        self.poll(0)
        if self._queue:
            self._broker.clock.advance(timeout)
        return len(self._queue)

    def __len__(self) -> int:
        return len(self._queue) + len(self._reports)

    def init_transactions(self, timeout: float = -1) -> None:
        self._begin("init_transactions")
        with self._broker.lock:
            holder = self._broker.transactional_ids[self._transactional_id]
            if holder.open is not None:
                self._broker.end_transaction(holder.open, commit=False)
                holder.open = None
            holder.epoch += 1
            holder.is_alive = lambda: self._process.is_alive
            self._epoch = holder.epoch
        self._broker.finish("init_transactions")

    def begin_transaction(self) -> None:
        if self._epoch < 0 or self._transaction is not None:
            raise failure(KafkaError._STATE)
        self._begin("begin_transaction")
        self._transaction, self._abort_reason = Transaction(), None
        with self._broker.lock:
            holder = self._broker.transactional_ids[self._transactional_id]
            if holder.epoch == self._epoch:
                holder.open = self._transaction

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        self._begin("send_offsets_to_transaction")
        transaction = self._open_transaction()
        with self._broker.lock:
            self._check_epoch()
            group: GroupMembership = group_metadata
            try:
                self._broker.groups[group.group].check(group.member, group.generation)
            except KafkaException as error:
                raise failure(error.args[0].code(), aborts=True) from error
            for part in positions:
                transaction.offsets[group.group, place_of(part)] = part.offset
        self._broker.finish("send_offsets_to_transaction")

    def commit_transaction(self, timeout: float = -1) -> None:
        self._end("commit_transaction", commit=True)

    def abort_transaction(self, timeout: float = -1) -> None:
        self._queue.clear()
        self._end("abort_transaction", commit=False)

    def _end(self, request: str, *, commit: bool) -> None:
        self._begin(request)
        transaction = self._open_transaction()
        if commit:
            self.poll(0)
            if self._abort_reason is not None:
                raise failure(self._abort_reason.code(), aborts=True)
        with self._broker.lock:
            self._check_epoch()
            if transaction.state == TransactionState.OPEN:
                self._broker.end_transaction(transaction, commit=commit)
                self._broker.transactional_ids[self._transactional_id].open = None
        # Where the answer is lost the same request is made again, and finds the transaction ended.
        self._broker.finish(request)
        self._transaction = None

    def _open_transaction(self) -> Transaction:
        if self._transaction is None:
            raise failure(KafkaError._STATE)
        return self._transaction

    def _check_epoch(self) -> None:
        if not self._transactional_id:
            return
        if self._broker.transactional_ids[self._transactional_id].epoch != self._epoch:
            raise failure(KafkaError._FENCED, is_fatal=True)


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
