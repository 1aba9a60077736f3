"""The loop of every sink: records from Kafka to a target, with their offsets in one transaction.

The target, not Kafka, says which offset a sink goes on from. Kafka's own committed offsets follow
afterwards, so that Kafka's tools show the lag. While the target is away a sink stays in its group,
reads nothing, and then goes on from the target's offsets.

One batch, step by step; `runtime.fault_injection.Place` names the points
where a test kills the worker:

1. Begin a transaction, lock the stored offsets, drop the records before them. A crash here, or
   while partitions are taken over (`IN_RECOVERY`), leaves nothing behind; the successor reads the
   batch again.
2. Write the batch, and produce a dead letter for each record that is refused. A crash rolls the
   rows back; the successor writes them again, and sends the letters again.
3. Wait for the delivery of the letters. No offset moves past a letter that may be lost. A crash
   (`BEFORE_OFFSET`) is as in 2: rows are rolled back, a letter may be in Kafka twice.
4. Store the offsets behind the batch. A crash (`BEFORE_COMMIT`) is as in 2.
5. Commit. A crash (`AFTER_COMMIT`) loses and doubles nothing: the successor goes on behind the
   batch.
6. Commit the same offsets to Kafka. A crash leaves Kafka's offsets behind the target's; the
   successor sets them right when its partitions are assigned.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from confluent_kafka import KafkaException, TopicPartition

from schemas.naming import sink_group
from sightline.runtime import metrics, tracing
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import InfrastructureError, PoisonRecord, first_line
from sightline.runtime.fault_injection import FaultPoint, fault_point
from sightline.runtime.health import Health
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.streaming import lag
from sightline.streaming.broker_probe import BrokerProbe
from sightline.streaming.client_config import member_config, producer_config
from sightline.streaming.clients import CONFLUENT, ConsumerClient, KafkaClients
from sightline.streaming.consumer_metrics import count_consumed, register_topics
from sightline.streaming.dead_letters import dead_letter
from sightline.streaming.errors import kafka_error
from sightline.streaming.messages import to_records
from sightline.streaming.producer import CheckedProducer
from sightline.streaming.records import Partition, Record
from sinks.runtime.offsets import end_offsets
from sinks.runtime.sink import DecodedRecord, Sink
from sinks.runtime.target import SinkSession, SinkTransaction
from sinks.settings import SinkSettings

log = logging.getLogger(__name__)

_DELIVERY_SECONDS = 30.0
_POLL_SECONDS = 0.2
_WATERMARK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_MAINTENANCE_SECONDS = 1.0
"""New records wait for `Sink.maintain` at most so long, and for the slice that it ends in."""

ConnectionT = TypeVar("ConnectionT")
CursorT = TypeVar("CursorT")


class SinkLoop(Generic[ConnectionT, CursorT]):
    """Runs a sink until a stop is requested."""

    def __init__(
        self,
        sink: Sink[ConnectionT, CursorT],
        settings: Settings,
        clock: Clock | None = None,
        clients: KafkaClients = CONFLUENT,
    ) -> None:
        self._sink = sink
        self._target = sink.target(settings)
        self._settings = settings
        self._clock = clock or SystemClock()
        group = sink_group(sink.name, settings.run)
        self._consumer = clients.consumer(
            member_config(settings, group, group) | lag.LAG_CONSUMER_CONFIG
        )
        self._lag = lag.ConsumerLag(self._consumer, group, sink.topics, self._clock)
        self._producer = CheckedProducer(producer_config(settings, group), clients)
        register_topics(sink.name, sink.topics)
        metrics.SINK_WAITING.labels(sink.name).set(0)
        self._partitions: list[TopicPartition] = []
        self._is_placed = True
        """False from an assignment until the consumer fetches from the target's offsets on."""
        self._health = Health()
        self._pause_seconds = 0.0
        """Before the next attempt to connect; 0 while the target answers."""

    def run(self, stop: Stop) -> None:
        """Write batches until `stop`, waiting while the target is away.

        Raises InfrastructureError when Kafka fails, and what the target raises that is neither
        unavailability nor a refusal, such as SightlineError of an empty database.
        """
        self._health = stop.health
        try:
            self._consumer.subscribe(
                list(self._sink.topics), on_assign=self._assigned, on_revoke=self._revoked
            )
            while not stop.is_set():
                try:
                    with self._target.connect() as session:
                        self._work(session, stop)
                except self._target.unavailable as error:
                    self._wait(error, stop)
        except KafkaException as error:
            raise InfrastructureError(f"{self._sink.name}: {error}") from error
        finally:
            self._consumer.close()

    def _work(self, session: SinkSession[ConnectionT, CursorT], stop: Stop) -> None:
        """Write batches until `stop`. Raises the target's errors when it becomes unavailable."""
        probe = BrokerProbe(
            self._consumer, next(iter(self._sink.topics)), self._health, self._clock
        )
        while not stop.is_set():
            stop.beat()
            if not self._is_placed:
                self._try_to_place(session)
            records = self._collect(stop)
            probe.note_records(len(records))
            self._write_batch(session, records)
            self._note_target_is_back()
            self._maintain(session, stop, 0.0 if records else _MAINTENANCE_SECONDS)

    def _maintain(
        self, session: SinkSession[ConnectionT, CursorT], stop: Stop, seconds: float
    ) -> None:
        """Let the sink do a slice of its maintenance, and more slices for up to `seconds`."""
        deadline = self._clock.monotonic() + seconds
        while not stop.is_set() and self._sink.maintain(session.connection):
            stop.beat()
            if self._clock.monotonic() >= deadline:
                break

    def _collect(self, stop: Stop) -> list[Record]:
        records: list[Record] = []
        limit = SinkSettings.of(self._settings).batch_records
        deadline = self._clock.monotonic() + self._sink.batch_seconds
        while len(records) < limit and not stop.is_set():
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                break
            messages = self._consumer.consume(limit - len(records), min(remaining, _POLL_SECONDS))
            records += to_records(messages)
            self._lag.update()
            if not self._is_placed:
                return []  # the partitions were revoked or assigned meanwhile
        return records

    def _write_batch(
        self, session: SinkSession[ConnectionT, CursorT], records: Sequence[Record]
    ) -> None:
        began, began_us = self._clock.monotonic(), self._clock.now_us()
        with session.transaction() as transaction:
            fresh = transaction.unwritten(records)  # 1
            batch = self._decoded(transaction, fresh)
            if batch:
                self._write(transaction, batch)  # 2
            self._sink.idle(transaction.cursor)
            self._producer.flush(_DELIVERY_SECONDS)  # 3
            _fault_point(FaultPoint.BEFORE_OFFSET, fresh)
            transaction.save_offsets(fresh)  # 4
            _fault_point(FaultPoint.BEFORE_COMMIT, fresh)
        # 5: the end of the block has committed.
        self._lag.mark_processed()
        if records:
            elapsed = self._clock.monotonic() - began
            metrics.BATCH_SECONDS.labels(self._sink.name).observe(elapsed)
            _fault_point(FaultPoint.AFTER_COMMIT, fresh)
            for record in fresh:
                tracing.trace_commit(self._sink.name, record, began_us, self._clock.now_us())
            self._commit_to_kafka(end_offsets(records))  # 6

    def _decoded(
        self, transaction: SinkTransaction[CursorT], records: Sequence[Record]
    ) -> list[DecodedRecord]:
        batch: list[DecodedRecord] = []
        for record in records:
            count_consumed(self._sink.name, record, self._clock.now_us())
            if not self._is_addressed(transaction, record):
                continue
            try:
                message = record.decode(self._sink.topics[record.topic])
            except PoisonRecord as error:
                self._send_dead_letter(transaction, record, error)
            else:
                batch.append(DecodedRecord(record, message))
        return batch

    def _is_addressed(self, transaction: SinkTransaction[CursorT], record: Record) -> bool:
        """Return whether to write a record; a replayed dead letter is for one service, and once."""
        if record.retry_for is None:
            return True
        if record.retry_for != self._sink.name:
            return False
        return record.retry_of is None or transaction.claim_retry(record)

    def _write(self, transaction: SinkTransaction[CursorT], batch: Sequence[DecodedRecord]) -> None:
        """Write a batch, and by halves where a record of it is refused."""
        try:
            with transaction.savepoint():
                self._sink.write(transaction.cursor, batch)
        except self._target.refusals as refusal:
            if len(batch) == 1:
                invalid = self._target.as_invalid(refusal)
                self._send_dead_letter(transaction, batch[0].record, invalid)
                return
            log.debug("%s: a batch of %d has a bad record", self._sink.name, len(batch))
            middle = len(batch) // 2
            self._write(transaction, batch[:middle])
            self._write(transaction, batch[middle:])

    def _send_dead_letter(
        self, transaction: SinkTransaction[CursorT], record: Record, error: PoisonRecord
    ) -> None:
        name, run = self._sink.name, self._settings.run
        self._producer.send(dead_letter(record, name, error, self._clock.now_us(), run=run))
        transaction.note_dead_letter(record)

    def _assigned(self, consumer: ConsumerClient, partitions: list[TopicPartition]) -> None:
        # Nothing is fetched before the target has told its offsets.
        self._partitions = partitions
        self._is_placed = False
        consumer.assign([])

    def _revoked(self, _consumer: ConsumerClient, _partitions: list[TopicPartition]) -> None:
        self._partitions = []
        self._lag.forget_positions()

    def _try_to_place(self, session: SinkSession[ConnectionT, CursorT]) -> None:
        try:
            self._place(session)
        except KafkaException as error:
            # A broker is away, and another takes its part over: the next round reaches that one.
            if kafka_error(error).fatal():
                raise
            log.warning("%s: does not know where its topics end: %s", self._sink.name, error)

    def _place(self, session: SinkSession[ConnectionT, CursorT]) -> None:
        """Fetch the assigned partitions from the target's offsets on."""
        name = self._sink.name
        partitions = [(str(part.topic), int(part.partition)) for part in self._partitions]
        with session.transaction() as transaction:
            offsets = transaction.next_offsets(partitions)
            for partition, offset in offsets.items():
                if offset and self._is_another_topic(partition, offset):
                    log.warning(
                        "%s: %s/%d was made anew: read from its beginning", name, *partition
                    )
                    offsets[partition] = 0
                    transaction.reset(partition)
        self._consumer.assign(
            [TopicPartition(*partition, offset) for partition, offset in offsets.items()]
        )
        self._is_placed = True
        self._commit_to_kafka(offsets)  # a worker that died after step 5 has not done so
        self._health.mark_ready()
        log.info("%s: %d partitions", name, len(partitions))
        _fault_point(FaultPoint.IN_RECOVERY, partitions)

    def _commit_to_kafka(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the target's offsets to Kafka, for its tools to show the lag."""
        positions = [TopicPartition(*part, offset) for part, offset in offsets.items() if offset]
        if positions:
            self._consumer.commit(offsets=positions, asynchronous=True)

    def _is_another_topic(self, partition: Partition, offset: int) -> bool:
        """Return whether the topic ends before the offset, as one created anew since does."""
        _low, high = self._consumer.get_watermark_offsets(
            TopicPartition(*partition), _WATERMARK_SECONDS
        )
        return offset > int(high)

    def _wait(self, error: Exception, stop: Stop) -> None:
        """Pause after the target has failed, as a member of the group that reads nothing."""
        if self._is_placed:
            self._consumer.assign([])
            self._is_placed = False
        self._health.mark_unavailable(self._target.name)
        if not self._pause_seconds:
            metrics.SINK_WAITING.labels(self._sink.name).set(1)
            reason = first_line(error)
            log.warning("%s: waits for the %s: %s", self._sink.name, self._target.name, reason)
        self._lag.update_unassigned()
        self._pause_seconds = min(
            max(2 * self._pause_seconds, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )
        deadline = self._clock.monotonic() + self._pause_seconds
        while not stop.is_set() and self._clock.monotonic() < deadline:
            stop.beat()
            message = self._consumer.poll(_POLL_SECONDS)
            to_records([message] if message else [])

    def _note_target_is_back(self) -> None:
        if self._pause_seconds:
            self._pause_seconds = 0.0
            self._health.mark_available(self._target.name)
            metrics.SINK_WAITING.labels(self._sink.name).set(0)
            log.info("%s: the %s is back", self._sink.name, self._target.name)


def _fault_point(place: FaultPoint, work: Sequence[object]) -> None:
    """Inject a fault at a place, where there is work that it can interrupt."""
    if work:
        fault_point(place)
