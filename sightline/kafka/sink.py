"""Records to rows: rows and offsets in one PostgreSQL transaction.

The database, not Kafka, says how far a sink has come. Kafka's own offsets follow afterwards,
so that anybody's tools show the lag.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.protobuf.message import Message
from psycopg.rows import TupleRow

from sightline import metrics
from sightline.clock import Clock, SystemClock
from sightline.errors import InfrastructureError, InvalidRecord
from sightline.kafka.config import member_config, producer_config
from sightline.kafka.deadletters import give_up
from sightline.kafka.producer import SureProducer
from sightline.kafka.records import Record
from sightline.kafka.transform import checked
from sightline.lifecycle import Stop
from sightline.log import LIBRDKAFKA
from sightline.settings import Settings
from sightline.store.db import Connection, connect

log = logging.getLogger(__name__)

Cursor = psycopg.Cursor[TupleRow]

_DELIVERY_SECONDS = 30.0
_POLL_SECONDS = 0.2
_WATERMARK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One record of a batch with the message in it."""

    record: Record
    message: Message


class Sink(Protocol):
    """One writer: what it reads, and how a batch becomes rows."""

    name: str
    topics: Mapping[str, type[Message]]
    batch_seconds: float

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Upsert the rows of a batch, within the caller's transaction.

        Raises InvalidRecord for a record that never can be written; the runner then finds out
        which one by halving the batch.
        """
        ...

    def idle(self, cursor: Cursor) -> None:
        """What is due by time alone; called at least once every `batch_seconds`."""
        ...


class SinkLoop:
    """Runs a sink until it is told to stop."""

    def __init__(self, sink: Sink, settings: Settings, clock: Clock | None = None) -> None:
        self._sink = sink
        self._clock = clock or SystemClock()
        self._batch_records = settings.sinks.batch_records
        group = f"sightline-{sink.name}"
        self._db: Connection = connect(settings)
        self._consumer = Consumer(member_config(settings, group, group), logger=LIBRDKAFKA)
        self._producer = SureProducer(producer_config(settings, group))

    def run(self, stop: Stop) -> None:
        """Work until `stop`; raises InfrastructureError when Kafka or the database fails."""
        try:
            self._consumer.subscribe(list(self._sink.topics), on_assign=self._assigned)
            while not stop:
                self._step(self._collect(stop))
        except KafkaException as error:
            raise InfrastructureError(f"{self._sink.name}: {error}") from error
        except psycopg.OperationalError as error:
            raise InfrastructureError(f"{self._sink.name}: the database failed: {error}") from error
        finally:
            self._consumer.close()
            self._db.close()

    def _collect(self, stop: Stop) -> list[Record]:
        records: list[Record] = []
        until = self._clock.monotonic() + self._sink.batch_seconds
        while len(records) < self._batch_records and not stop:
            wait = until - self._clock.monotonic()
            if wait <= 0:
                break
            messages = self._consumer.consume(
                self._batch_records - len(records), min(wait, _POLL_SECONDS)
            )
            records += checked(messages)
        return records

    def _step(self, records: Sequence[Record]) -> None:
        timer = metrics.BATCH_SECONDS.labels(self._sink.name).time()
        with timer, self._db.transaction(), self._db.cursor() as cursor:
            fresh = self._not_yet_written(cursor, records)
            batch = self._decoded(fresh)
            if batch:
                self._write(cursor, batch)
            self._sink.idle(cursor)
            self._save_offsets(cursor, fresh)
        if records:
            self._consumer.commit(offsets=_positions(records), asynchronous=True)

    def _not_yet_written(self, cursor: Cursor, records: Sequence[Record]) -> list[Record]:
        """The records past the stored offsets, whose rows stay locked until the commit.

        A worker that lost a partition without knowing it yet can write nothing twice.
        """
        if not records:
            return []
        places = _positions(records)
        cursor.execute(
            "SELECT topic, partition, next_offset FROM sink_offsets"
            " WHERE sink = %s AND (topic, partition) IN"
            " (SELECT * FROM unnest(%s::text[], %s::integer[]))"
            " ORDER BY topic, partition FOR UPDATE",
            (self._sink.name, [at.topic for at in places], [at.partition for at in places]),
        )
        stored = {(topic, number): offset for topic, number, offset in cursor}
        fresh = []
        for record in records:
            place = record.topic, record.partition
            # After a rebalance amid the batch its first records come a second time.
            if record.offset >= stored[place]:
                stored[place] = record.offset + 1
                fresh.append(record)
        return fresh

    def _decoded(self, records: Sequence[Record]) -> list[Taken]:
        batch: list[Taken] = []
        for record in records:
            metrics.RECORDS.labels(self._sink.name, record.topic).inc()
            try:
                batch.append(Taken(record, record.decode(self._sink.topics[record.topic])))
            except InvalidRecord as error:
                self._give_up(record, error)
        return batch

    def _write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        try:
            with self._db.transaction():
                self._sink.write(cursor, batch)
        except (InvalidRecord, psycopg.DataError, psycopg.IntegrityError) as error:
            if len(batch) == 1:
                self._give_up(batch[0].record, _as_invalid(error))
                return
            log.info("%s: a batch of %d has a bad record: %s", self._sink.name, len(batch), error)
            middle = len(batch) // 2
            self._write(cursor, batch[:middle])
            self._write(cursor, batch[middle:])

    def _give_up(self, record: Record, error: InvalidRecord) -> None:
        """Send a record to the dead letters and wait until it is there."""
        self._producer.send(give_up(record, self._sink.name, error, self._clock.now_us()))
        self._producer.flush(_DELIVERY_SECONDS)

    def _save_offsets(self, cursor: Cursor, records: Sequence[Record]) -> None:
        cursor.executemany(
            "UPDATE sink_offsets SET next_offset = %s, updated_at = now()"
            " WHERE sink = %s AND topic = %s AND partition = %s",
            [(at.offset, self._sink.name, at.topic, at.partition) for at in _positions(records)],
        )

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        name = self._sink.name
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO sink_offsets (sink, topic, partition, next_offset)"
                " VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
                [(name, at.topic, at.partition) for at in partitions],
            )
            cursor.execute(
                "SELECT topic, partition, next_offset FROM sink_offsets WHERE sink = %s", (name,)
            )
            saved = {(topic, number): offset for topic, number, offset in cursor}
            for at in partitions:
                at.offset = saved[at.topic, at.partition]
                if at.offset and self._is_another_topic(at):
                    at.offset = 0
                    self._start_over(cursor, at)
        consumer.assign(partitions)
        log.info("%s: %d partitions", self._sink.name, len(partitions))

    def _is_another_topic(self, at: TopicPartition) -> bool:
        """Whether the topic ends before the offset: it was made anew since."""
        _low, high = self._consumer.get_watermark_offsets(at, _WATERMARK_SECONDS)
        return int(at.offset) > int(high)

    def _start_over(self, cursor: Cursor, at: TopicPartition) -> None:
        where = (self._sink.name, at.topic, at.partition)
        log.warning("%s: %s/%d was made anew: read from its beginning", *where)
        cursor.execute(
            "UPDATE sink_offsets SET next_offset = 0"
            " WHERE sink = %s AND topic = %s AND partition = %s",
            where,
        )


def _positions(records: Sequence[Record]) -> list[TopicPartition]:
    last = {(record.topic, record.partition): record.offset + 1 for record in records}
    return [TopicPartition(topic, number, offset) for (topic, number), offset in last.items()]


def _as_invalid(error: Exception) -> InvalidRecord:
    if isinstance(error, InvalidRecord):
        return error
    reason = "unknown_reference" if isinstance(error, psycopg.errors.ForeignKeyViolation) else "row"
    return InvalidRecord(reason, str(error))
