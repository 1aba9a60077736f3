"""Consume, process, produce, keep the state and commit in one Kafka transaction.

While one batch is committed, which is waiting for the broker, the next is processed already. One
batch, step by step; `runtime.fault_injection.Place` names the points
where a test kills the worker:

1. Process the records as they come. A crash (`BEFORE_PRODUCE`) leaves nothing in Kafka; the
   successor reads the batch again from the committed offsets.
2. Begin a transaction and send the outputs, dead letters among them. A crash (`BEFORE_STATE`)
   leaves the transaction open: the next producer of the same transactional id aborts it, or the
   broker does after its time-out. Readers of committed records never see the outputs.
3. Send the state that has changed. A crash is as in 2.
4. Add the offsets behind the batch to the transaction. A crash (`BEFORE_COMMIT`) is as in 2: the
   group's offsets stand where they stood.
5. Commit. A crash meanwhile leaves all of it or nothing: outputs, state and offsets are visible
   together, and whoever takes a partition over finds the state as it was at its offset.
6. Remember the committed offsets as those that the state in memory stands at. A crash
   (`AFTER_COMMIT`) loses and doubles nothing: the successor restores the state and goes on.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Protocol, TypeVar

from confluent_kafka import KafkaException, Message, TopicPartition

from schemas.topics import LIVE
from sightline.runtime import metrics, tracing
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, PoisonRecord
from sightline.runtime.fault_injection import FaultPoint, fault_point
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import log_fields
from sightline.streaming import lag
from sightline.streaming.broker_probe import BrokerProbe
from sightline.streaming.changelog_restore import restore_records
from sightline.streaming.clients import CONFLUENT, ClientConfig, ConsumerClient, KafkaClients
from sightline.streaming.consumer_metrics import count_consumed, register_topics
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.errors import is_transient
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import OutputRecord, Partition, Record, with_headers

log = logging.getLogger(__name__)

_RETRY_DEADLINE_SECONDS = 30.0
"""A predecessor's open transaction is aborted first, which the broker may take a while for."""

_REQUEST_TIMEOUT_SECONDS = 2.0
"""Of one attempt, which goes on where the last one was: a stop is noticed in between."""

_ABORT_TIMEOUT_SECONDS = 3.0
"""Share of a shutdown that is kept for the abort of a transaction."""

_RETRY_PAUSE_SECONDS = 0.1
_IDLE_POLL_SECONDS = 0.2
_MAX_BATCH_SECONDS = 0.5
"""A batch is closed then, however many records wait: its first outputs have waited enough."""

T = TypeVar("T")


class Processor(Protocol):
    """A stage: records in, records out, with state of its own for each partition."""

    def process(self, record: Record) -> Iterable[OutputRecord]:
        """Return the outputs of one record.

        Raises InvalidRecord for a record that can never be processed; what a generator has
        yielded before is sent as well.
        """

    def state(self) -> Iterable[OutputRecord]:
        """Return the state that has changed since the last call, as records of the state topic."""

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """Restore a record of the state topic, for a partition that goes on at `next_offset`."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of partitions that another worker has now."""


class TransformLoop:
    """Runs a processor over topics until a stop is requested."""

    def __init__(
        self,
        service: str,
        processor: Processor,
        topics: Sequence[str],
        consumer: ClientConfig,
        producer: ClientConfig,
        *,
        batch_records: int,
        batch_seconds: float,
        state_topic: str | None = None,
        prepare: Callable[[Sequence[Record]], None] | None = None,
        prepare_records: int = 1,
        run: str = LIVE,
        clock: Clock | None = None,
        clients: KafkaClients = CONFLUENT,
    ) -> None:
        """Make the clients; nothing is read yet.

        Where several records have come already, `prepare` is called with them, `prepare_records`
        at most, before they are processed one by one.
        """
        self._service = service
        self._run = run
        self._processor = processor
        register_topics(service, topics)
        self._topics = list(topics)
        self._state_topic = state_topic
        self._consumer_config = consumer
        self._clients = clients
        self._consumer = clients.consumer(consumer | lag.LAG_CONSUMER_CONFIG)
        self._producer = CheckedProducer(producer, clients)
        self._prepare = prepare
        self._prepare_records = prepare_records if prepare else 1
        self._batch_records = batch_records
        self._batch_seconds = batch_seconds
        self._clock = clock or SystemClock()
        self._lag = lag.ConsumerLag(self._consumer, str(consumer["group.id"]), topics, self._clock)
        self._state_offsets: dict[Partition, int] = {}
        """The offset that the processor's state of each partition stands at."""
        # The batch that is processed and whose commit has not begun.
        self._gathered: list[Record] = []  # not processed yet
        self._outs: list[OutputRecord] = []
        self._offsets: dict[Partition, int] = {}
        self._committer = ThreadPoolExecutor(1, "commit")
        self._pending_commit: Future[dict[Partition, int]] | None = None
        self._stop = Stop(0.0)  # until `run`
        self._is_closing = False
        self._probe: BrokerProbe | None = None

    def run(self, stop: Stop) -> None:
        """Process records until `stop`. Raises InfrastructureError when Kafka fails."""
        self._stop = stop
        self._probe = BrokerProbe(self._consumer, self._topics[0], stop.health, self._clock)
        try:
            raw = self._producer.raw
            self._unless_stopped(lambda: raw.init_transactions(_REQUEST_TIMEOUT_SECONDS))
            self._consumer.subscribe(
                self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while not stop.is_set():
                self._collect(stop)  # 1
                self._finish_commit()  # 6, of the batch before
                self._begin_commit()
            self._finish_commit()
        except KafkaException as error:
            raise InfrastructureError(f"{self._service}: {error}") from error
        finally:
            # After a failure the outcome of the pending commit does not matter any more.
            self._pending_commit = None
            self._is_closing = True
            self._committer.shutdown()
            # A member without a static id leaves the group: its partitions move at once.
            self._consumer.close()

    def _collect(self, stop: Stop) -> None:
        """Process records until the batch is full, old, or nothing more comes in time."""
        count, began = 0, 0.0
        while count < self._batch_records and not stop.is_set():
            stop.beat()
            # A rebalance within the poll drops the batch.
            age = self._clock.monotonic() - began if self._offsets else 0.0
            if age > _MAX_BATCH_SECONDS:
                break
            wait = max(0.0, self._batch_seconds - age) if self._offsets else _IDLE_POLL_SECONDS
            self._lag.update()
            # For large records one poll at a time beats consume() of many.
            message = self._consumer.poll(wait)
            self._update_probe(message is not None)
            if message is None:
                break
            records = self._gather(message, self._batch_records - count)
            if not self._offsets:
                count, began = 0, self._clock.monotonic()
            self._outs += self._outputs(records)
            self._offsets |= {record.topic_partition: record.offset + 1 for record in records}
            count += len(records)

    def _gather(self, message: Message, room: int) -> list[Record]:
        """Return the records that have come already, `message` first, `room` at most."""
        self._gathered = to_records([message])
        while len(self._gathered) < min(room, self._prepare_records):
            # A rebalance within the poll drops what is gathered.
            following = self._consumer.poll(0.0)
            if following is None:
                break
            self._gathered += to_records([following])
        records, self._gathered = self._gathered, []
        return self._lag.with_waiting(records)

    def _is_ours(self, record: Record) -> bool:
        """Return False for a dead letter that another service is to try again."""
        return record.retry_for in (None, self._service)

    def _update_probe(self, has_message: bool) -> None:
        if self._probe is not None and (has_message or not self._offsets):
            self._probe.note_records(has_message)

    def _begin_commit(self) -> None:
        """Commit the batch in the background, beside the processing of the next one."""
        if not self._offsets:
            return
        outs, offsets = self._outs, self._offsets
        self._outs, self._offsets = [], {}
        state = list(self._processor.state())
        group = self._consumer.consumer_group_metadata()
        self._pending_commit = self._committer.submit(self._transact, outs, state, offsets, group)

    def _finish_commit(self) -> None:
        """Wait for the pending commit; raises KafkaException when it failed.

        The state in memory is ahead of the committed offsets then: the process must end, and its
        successor start from these offsets.
        """
        pending, self._pending_commit = self._pending_commit, None
        if pending is not None:
            self._state_offsets |= pending.result()

    def _transact(
        self,
        outs: list[OutputRecord],
        state: list[OutputRecord],
        offsets: dict[Partition, int],
        group: object,
    ) -> dict[Partition, int]:
        # The transaction is open for moments only, as all processing came before: a worker that is
        # killed in it holds up its readers until the broker aborts the transaction.
        fault_point(FaultPoint.BEFORE_PRODUCE)
        raw = self._producer.raw
        raw.begin_transaction()
        try:
            self._producer.send_all(outs)  # 2
            fault_point(FaultPoint.BEFORE_STATE)
            self._producer.send_all(state)  # 3
            positions = [TopicPartition(*partition, end) for partition, end in offsets.items()]
            self._retry(
                lambda: raw.send_offsets_to_transaction(positions, group, _REQUEST_TIMEOUT_SECONDS),
                self._is_late,
            )  # 4
            fault_point(FaultPoint.BEFORE_COMMIT)
            with metrics.STAGE_SECONDS.labels("commit").time():
                self._retry(
                    lambda: raw.commit_transaction(_REQUEST_TIMEOUT_SECONDS), self._is_late
                )  # 5
        except BaseException:
            self._abort()
            raise
        fault_point(FaultPoint.AFTER_COMMIT)
        return offsets

    def _unless_stopped(self, request: Callable[[], T]) -> T | None:
        """Return the answer to a request made between transactions; None if a stop came first."""
        try:
            return self._retry(request, self._stop.is_set)
        except KafkaException:
            if self._stop.is_set():
                return None
            raise

    def _retry(self, request: Callable[[], T], is_hopeless: Callable[[], bool]) -> T:
        """Repeat a request that failed for a moment, as while another broker takes over."""
        deadline = self._clock.monotonic() + _RETRY_DEADLINE_SECONDS
        while True:
            try:
                return request()
            except KafkaException as error:
                is_late = self._clock.monotonic() > deadline or is_hopeless()
                if is_late or not is_transient(error):
                    raise
                self._producer.poll(_RETRY_PAUSE_SECONDS)

    def _is_late(self) -> bool:
        """Return whether a stop leaves no more time to wait for the broker."""
        return self._stop.is_set() and self._stop.remaining_seconds() < _ABORT_TIMEOUT_SECONDS

    def _abort(self) -> None:
        try:
            # A transaction that is not aborted in time is left to the successor's first request.
            timeout = min(_ABORT_TIMEOUT_SECONDS, self._stop.remaining_seconds())
            self._producer.raw.abort_transaction(timeout)
        except KafkaException as error:
            log.warning("%s: the transaction was not aborted: %s", self._service, error)

    def _outputs(self, records: Sequence[Record]) -> list[OutputRecord]:
        """Process records in order; a span of each lasts as long as the work on all of them."""
        ours = [record for record in records if self._is_ours(record)]
        outs: list[OutputRecord] = []
        with ExitStack() as spans:
            headers = [
                spans.enter_context(tracing.trace_processing(self._service, rec)) for rec in ours
            ]
            for record in records:
                count_consumed(self._service, record, self._clock.now_us())
            if self._prepare is not None and len(ours) > 1:
                self._prepare(ours)
            for record, carried in zip(ours, headers, strict=True):
                outs += with_headers(self._process(record), carried)
        return outs

    def _process(self, record: Record) -> list[OutputRecord]:
        outs: list[OutputRecord] = []
        with log_fields(topic=record.topic, partition=record.partition, offset=record.offset):
            try:
                for out in self._processor.process(record):
                    outs.append(out)
            except PoisonRecord as error:
                now_us = self._clock.now_us()
                outs.append(dead_letter(record, self._service, error, now_us, run=self._run))
        return outs

    def _assigned(self, consumer: ConsumerClient, partitions: list[TopicPartition]) -> None:
        # Without this call the client would assign all of them itself.
        consumer.assign([] if self._stop.is_set() else self._take_over(consumer, partitions))

    def _take_over(
        self, consumer: ConsumerClient, partitions: list[TopicPartition]
    ) -> list[TopicPartition]:
        """Return the offsets to go on from, with the state restored; nothing after a stop."""
        # An eager rebalance takes every partition away and gives most of them back: state that
        # stands exactly at the committed offset is kept.
        positions = self._unless_stopped(
            lambda: consumer.committed(partitions, timeout=_REQUEST_TIMEOUT_SECONDS)
        )
        if positions is None:
            return []
        committed = {(part.topic, part.partition): part.offset for part in positions}
        stale = {
            partition
            for partition, offset in self._state_offsets.items()
            if committed.get(partition) != offset
        }
        self._processor.forget(stale)
        for partition in stale:
            del self._state_offsets[partition]
        starts = {
            partition: offset
            for partition, offset in committed.items()
            if partition not in self._state_offsets
        }
        self._restore(starts)
        if self._stop.is_set():
            return []  # the state may be incomplete
        fault_point(FaultPoint.IN_RECOVERY)
        # Where no offset is committed the client's own rule says where to begin.
        self._state_offsets |= {
            partition: offset for partition, offset in starts.items() if offset >= 0
        }
        log.info("%s: %d partitions, %d taken over", self._service, len(partitions), len(starts))
        self._stop.health.mark_ready()
        return [TopicPartition(*partition, offset) for partition, offset in committed.items()]

    def _restore(self, starts: Mapping[Partition, int]) -> None:
        """Restore the state of partitions at the offsets that they start from."""
        if self._state_topic is None or not starts:
            return
        # The state topic has the partitions of the one topic that has state.
        by_number = {number: (topic, number) for topic, number in starts}
        for record in restore_records(
            self._consumer_config,
            self._state_topic,
            by_number,
            _RETRY_DEADLINE_SECONDS,
            self._stop,
            self._clients,
            self._clock,
        ):
            partition = by_number[record.partition]
            self._processor.restore(partition, starts[partition], record)

    def _revoked(self, _consumer: ConsumerClient, _partitions: list[TopicPartition]) -> None:
        # Called while a batch is being collected: its records may be another worker's now, and
        # are read again from the committed offset where they are not.
        self._finish_commit()
        self._processor.forget(self._offsets)
        for partition in self._offsets:
            self._state_offsets.pop(partition, None)
        self._gathered, self._outs, self._offsets = [], [], {}

    def _lost(self, _consumer: ConsumerClient, _partitions: list[TopicPartition]) -> None:
        if self._is_closing:
            return  # the loop ends already, with an error of its own or without
        raise InfrastructureError(f"{self._service}: the group went on without this worker")
