"""Consume, process, produce, keep the state and commit in one Kafka transaction.

The order within a batch: process records as they come, begin, send the outputs (dead letters are
outputs like any other) and the state, add the input's offsets, commit. Nobody sees outputs without
their offsets, and whoever takes a partition over finds the state as it was at its offset.

While one batch is committed, which is waiting for the broker, the next is processed already.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.topics import LIVE
from sightline.runtime import metrics, tracing
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, InvalidRecord
from sightline.runtime.fault_injection import Place, reach
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import LIBRDKAFKA, about
from sightline.streaming import lag
from sightline.streaming.broker_probe import Reached
from sightline.streaming.changelog_restore import read_to_end
from sightline.streaming.client_config import ConfigValue
from sightline.streaming.consumer_metrics import expect, took
from sightline.streaming.dead_letters import give_up
from sightline.streaming.messages import checked
from sightline.streaming.producer import SureProducer
from sightline.streaming.records import Out, Record, with_headers

log = logging.getLogger(__name__)

_INIT_SECONDS = 30.0
"""A predecessor's open transaction is aborted first, which the broker may take a while for."""

_REQUEST_SECONDS = 2.0
"""Of one request, which goes on where it was when made again: in between a stop is noticed."""

_FAREWELL_SECONDS = 3.0
"""Of a shutdown, for giving up what the broker does not take."""

_AGAIN_SECONDS = 0.1
_IDLE_SECONDS = 0.2
_LONGEST_SECONDS = 0.5
"""A batch is closed then, however much is waiting: its first outputs have waited enough."""

T = TypeVar("T")

Partition = tuple[str, int]
"""A topic and a number in it."""


class Processor(Protocol):
    """A stage: records in, records out, with state of its own for each partition."""

    def process(self, record: Record) -> Iterable[Out]:
        """The outputs of one record. Raises InvalidRecord for one that never can be processed.

        What it gave before it raised is sent as well.
        """
        ...

    def state(self) -> Iterable[Out]:
        """The state that has changed since the last call, as records of the state topic."""
        ...

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """Take a record of the state topic over, for a partition that goes on at an offset."""
        ...

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop the state of partitions that another worker has now."""
        ...


class Stateless:
    """What a processor without state has to say of it."""

    def state(self) -> Iterable[Out]:
        """There is none."""
        return ()

    def restore(self, partition: Partition, next_offset: int, record: Record) -> None:
        """There is none."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """There is none."""


class TransformLoop:
    """Runs a processor over topics until it is told to stop."""

    def __init__(
        self,
        service: str,
        processor: Processor,
        topics: Sequence[str],
        consumer: dict[str, ConfigValue],
        producer: dict[str, ConfigValue],
        *,
        batch_records: int,
        batch_seconds: float,
        state_topic: str | None = None,
        run: str = LIVE,
        clock: Clock | None = None,
    ) -> None:
        self._service = service
        self._run = run
        self._processor = processor
        expect(service, topics)
        self._topics = list(topics)
        self._state_topic = state_topic
        self._reader = consumer
        self._consumer = Consumer(consumer | lag.OPTIONS, logger=LIBRDKAFKA)
        self._producer = SureProducer(producer)
        self._batch_records = batch_records
        self._batch_seconds = batch_seconds
        self._clock = clock or SystemClock()
        self._lag = lag.ConsumerLag(self._consumer, str(consumer["group.id"]), topics, self._clock)
        # What the processor's state stands at: partition -> next offset.
        self._next: dict[Partition, int] = {}
        # The batch: what is processed, and nobody has begun to commit.
        self._outs: list[Out] = []
        self._offsets: dict[Partition, int] = {}
        self._beside = ThreadPoolExecutor(1, "commit")
        self._under_way: Future[dict[Partition, int]] | None = None
        self._stop = Stop(0.0)  # until it runs
        self._over = False
        self._reached: Reached | None = None

    def run(self, stop: Stop) -> None:
        """Work until `stop`; raises InfrastructureError when Kafka does not go on."""
        self._stop = stop
        self._reached = Reached(self._consumer, self._topics[0], stop.health, self._clock)
        try:
            raw = self._producer.raw
            self._unless_stopped(lambda: raw.init_transactions(_REQUEST_SECONDS))
            self._consumer.subscribe(
                self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
            )
            while not stop:
                self._collect(stop)
                self._settle()
                self._begin_commit()
            self._settle()
        except KafkaException as error:
            raise InfrastructureError(f"{self._service}: {error}") from error
        finally:
            # Where the loop has failed nobody asks what becomes of the batch under way.
            self._under_way = None
            self._over = True
            self._beside.shutdown()
            # Who has no name leaves the group: the partitions move without a time-out.
            self._consumer.close()

    def _collect(self, stop: Stop) -> None:
        """Process what comes, until the batch is full or nothing more comes in time."""
        taken, began = 0, 0.0
        while taken < self._batch_records and not stop:
            stop.beat()
            # A rebalance within the poll drops the batch.
            age = self._clock.monotonic() - began if self._offsets else 0.0
            if age > _LONGEST_SECONDS:
                break
            wait = max(0.0, self._batch_seconds - age) if self._offsets else _IDLE_SECONDS
            # For large records one poll at a time beats consume() of many.
            message = self._consumer.poll(wait)
            self._heard(message is not None)
            if message is None:
                break
            for record in checked([message]):
                if not self._offsets:
                    taken, began = 0, self._clock.monotonic()
                self._outs += self._outputs(record)
                self._offsets[record.topic, record.partition] = record.offset + 1
                taken += 1

    def _heard(self, something: bool) -> None:
        if self._reached is not None and (something or not self._offsets):
            self._reached.came(something)

    def _begin_commit(self) -> None:
        """Have the batch committed beside the work on the next one."""
        if not self._offsets:
            return
        outs, offsets = self._outs, self._offsets
        self._outs, self._offsets = [], {}
        state = list(self._processor.state())
        group = self._consumer.consumer_group_metadata()
        self._under_way = self._beside.submit(self._transact, outs, state, offsets, group)

    def _settle(self) -> None:
        """Wait until what was begun is committed; raises KafkaException when it was not.

        The state is ahead of what was committed then: the process must end, and its successor
        start from the committed offset.
        """
        begun, self._under_way = self._under_way, None
        if begun is not None:
            self._next |= begun.result()

    def _transact(
        self, outs: list[Out], state: list[Out], offsets: dict[Partition, int], group: object
    ) -> dict[Partition, int]:
        # All the work came before the transaction, which is open for moments only: a worker that
        # is killed in it holds up its readers until the broker gives the transaction up.
        reach(Place.BEFORE_PRODUCE)
        raw = self._producer.raw
        raw.begin_transaction()
        try:
            self._producer.send_all(outs)
            reach(Place.BEFORE_STATE)
            self._producer.send_all(state)
            ends = [TopicPartition(*at, offset) for at, offset in offsets.items()]
            self._insist(
                lambda: raw.send_offsets_to_transaction(ends, group, _REQUEST_SECONDS),
                self._is_late,
            )
            reach(Place.BEFORE_COMMIT)
            with metrics.STAGE_SECONDS.labels("commit").time():
                self._insist(lambda: raw.commit_transaction(_REQUEST_SECONDS), self._is_late)
        except BaseException:
            self._abort()
            raise
        reach(Place.AFTER_COMMIT)
        return offsets

    def _unless_stopped(self, request: Callable[[], T]) -> T | None:
        """What is asked of the broker while nothing is begun; None where a stop came first."""
        try:
            return self._insist(request, lambda: bool(self._stop))
        except KafkaException:
            if self._stop:
                return None
            raise

    def _insist(self, request: Callable[[], T], given_up: Callable[[], bool]) -> T:
        """Ask again where the broker asked is just going away: another one takes its part over."""
        until = self._clock.monotonic() + _INIT_SECONDS
        while True:
            try:
                return request()
            except KafkaException as error:
                late = self._clock.monotonic() > until or given_up()
                if late or not _may_pass(error.args[0]):
                    raise
                self._producer.poll(_AGAIN_SECONDS)

    def _is_late(self) -> bool:
        """Whether a stop leaves no more time to wait for the broker."""
        return bool(self._stop) and self._stop.remaining() < _FAREWELL_SECONDS

    def _abort(self) -> None:
        try:
            left = self._stop.remaining()  # what is not aborted, the successor's beginning is
            self._producer.raw.abort_transaction(min(_FAREWELL_SECONDS, left))
        except KafkaException as error:
            log.warning("%s: the transaction was not aborted: %s", self._service, error)

    def _outputs(self, record: Record) -> list[Out]:
        took(self._service, record, self._clock.now_us())
        if record.retry_for not in (None, self._service):
            return []  # a dead letter of somebody else's, who is to try it again
        outs: list[Out] = []
        place = about(topic=record.topic, partition=record.partition, offset=record.offset)
        with place, tracing.step(self._service, record) as headers:
            try:
                for out in self._processor.process(record):
                    outs.append(out)
            except InvalidRecord as error:
                now = self._clock.now_us()
                outs.append(give_up(record, self._service, error, now, run=self._run))
        return with_headers(outs, headers)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Left unsaid, the client would assign them itself.
        consumer.assign([] if self._stop else self._take_over(consumer, partitions))

    def _take_over(
        self, consumer: Consumer, partitions: list[TopicPartition]
    ) -> list[TopicPartition]:
        """Where to go on, with the state as it was there; nowhere once it is to stop."""
        # An eager rebalance takes every partition away and gives most of them back: state that
        # stands exactly at the committed offset is kept.
        known = self._unless_stopped(
            lambda: consumer.committed(partitions, timeout=_REQUEST_SECONDS)
        )
        if known is None:
            return []
        committed = {(part.topic, part.partition): part.offset for part in known}
        stale = {at for at, offset in self._next.items() if committed.get(at) != offset}
        self._processor.forget(stale)
        for at in stale:
            del self._next[at]
        taken = {at: offset for at, offset in committed.items() if at not in self._next}
        self._recover(taken)
        if self._stop:
            return []  # half of the state is nobody's
        reach(Place.IN_RECOVERY)
        # Where no offset is committed the client's own rule says where to begin.
        self._next |= {at: offset for at, offset in taken.items() if offset >= 0}
        log.info("%s: %d partitions, %d taken over", self._service, len(partitions), len(taken))
        self._stop.health.ready()
        return [TopicPartition(*at, offset) for at, offset in committed.items()]

    def _recover(self, taken: Mapping[Partition, int]) -> None:
        """Read the state of partitions at their committed offsets; each has one topic's number."""
        if self._state_topic is None or not taken:
            return
        by_number = {number: (topic, number) for topic, number in taken}
        for record in read_to_end(
            self._reader, self._state_topic, by_number, _INIT_SECONDS, self._stop
        ):
            at = by_number[record.partition]
            self._processor.restore(at, taken[at], record)

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        # Called while a batch is being collected: its records may be another worker's now, and
        # are read again from the committed offset where they are not.
        self._settle()
        self._processor.forget(self._offsets)
        for at in self._offsets:
            self._next.pop(at, None)
        self._outs, self._offsets = [], {}

    def _lost(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        if self._over:
            return  # it is leaving, with an error of its own or with none
        raise InfrastructureError(f"{self._service}: the group went on without this worker")


def _may_pass(error: KafkaError) -> bool:
    """Whether the same request may be made again; not all that time out say so."""
    return error.retriable() or error.code() == KafkaError._TIMED_OUT
