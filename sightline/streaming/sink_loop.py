"""Records to rows: rows and offsets in one PostgreSQL transaction.

The database, not Kafka, says how far a sink has come. Kafka's own offsets follow afterwards,
so that anybody's tools show the lag. While the database is away a sink stays in its group,
reads nothing, and then goes on from where the database says.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from google.protobuf.message import Message

from schemas.naming import of_run, sink_group
from schemas.topics import LIVE, OF_A_RUN, Topic
from sightline.runtime import metrics, tracing
from sightline.runtime.clock import Clock, SystemClock
from sightline.runtime.errors import (
    InfrastructureError,
    InvalidRecord,
    UnreachableError,
    first_line,
)
from sightline.runtime.fault_injection import Place, reach
from sightline.runtime.health import DATABASE, Health
from sightline.runtime.lifecycle import Stop
from sightline.runtime.log import LIBRDKAFKA
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.streaming import lag, offset_store
from sightline.streaming.broker_probe import Reached
from sightline.streaming.client_config import member_config, producer_config
from sightline.streaming.consumer_metrics import expect, took
from sightline.streaming.dead_letters import give_up
from sightline.streaming.messages import checked
from sightline.streaming.offset_store import Cursor, Partition
from sightline.streaming.producer import SureProducer
from sightline.streaming.records import Record
from sinks.settings import SinkSettings

__all__ = ["Cursor", "Sink", "SinkLoop", "Taken", "topics_of"]

log = logging.getLogger(__name__)

_DELIVERY_SECONDS = 30.0
_FROZEN_SECONDS = 60
_POLL_SECONDS = 0.2
_WATERMARK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0
_MAINTENANCE_SECONDS = 1.0
"""For which `Sink.maintain` may keep new records waiting, but for the slice that it ends in."""


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

    def maintain(self, db: Connection) -> bool:
        """Do a slice of what is due and no part of a batch, in a transaction of its own.

        Called between batches. Returns whether there may be more: then it is called again, soon
        where no records wait.
        """
        ...


def topics_of(run: str, *kinds: tuple[Topic, type[Message]]) -> dict[str, type[Message]]:
    """The topics that a sink reads in a run, by name; one that no run has of its own is left out.

    What such a topic says is in the run's tables when its sinks start.
    """
    return {
        of_run(topic, run).name: kind for topic, kind in kinds if run == LIVE or topic in OF_A_RUN
    }


class SinkLoop:
    """Runs a sink until it is told to stop."""

    def __init__(self, sink: Sink, settings: Settings, clock: Clock | None = None) -> None:
        self._sink = sink
        self._settings = settings
        self._clock = clock or SystemClock()
        group = sink_group(sink.name, settings.run)
        config = member_config(settings, group, group) | lag.OPTIONS
        self._consumer = Consumer(config, logger=LIBRDKAFKA)
        self._lag = lag.ConsumerLag(self._consumer, group, sink.topics, self._clock)
        self._producer = SureProducer(producer_config(settings, group))
        expect(sink.name, sink.topics)
        metrics.SINK_WAITING.labels(sink.name).set(0)
        self._partitions: list[TopicPartition] = []
        self._is_placed = True
        """Whether what is fetched is what the database wants next."""
        self._health = Health()
        self._pause = 0.0
        """Before the database is asked again; 0 while it answers."""

    def run(self, stop: Stop) -> None:
        """Work until `stop`, waiting wherever the database is away.

        Raises InfrastructureError when Kafka does not go on, SightlineError when the database
        is empty.
        """
        self._health = stop.health
        try:
            self._consumer.subscribe(
                list(self._sink.topics), on_assign=self._assigned, on_revoke=self._revoked
            )
            while not stop:
                try:
                    with closing(self._connected()) as db:
                        self._work(db, stop)
                except (UnreachableError, psycopg.OperationalError) as error:
                    self._wait(error, stop)
        except KafkaException as error:
            raise InfrastructureError(f"{self._sink.name}: {error}") from error
        finally:
            self._consumer.close()

    def _connected(self) -> Connection:
        db = connect(self._settings)
        with db.transaction():
            # A worker that is frozen amid a transaction keeps its rows from whoever stands in.
            db.execute(f"SET idle_in_transaction_session_timeout = '{_FROZEN_SECONDS}s'")
        return db

    def _work(self, db: Connection, stop: Stop) -> None:
        """Write batches until `stop`. Raises psycopg.OperationalError when the database fails."""
        reached = Reached(self._consumer, next(iter(self._sink.topics)), self._health, self._clock)
        while not stop:
            stop.beat()
            if not self._is_placed:
                self._try_to_place(db)
            records = self._collect(stop)
            reached.came(len(records))
            self._step(db, records)
            self._go_on()
            self._maintain(db, stop, 0.0 if records else _MAINTENANCE_SECONDS)

    def _maintain(self, db: Connection, stop: Stop, seconds: float) -> None:
        """Let the sink do a slice of its maintenance, and more of them for so long."""
        until = self._clock.monotonic() + seconds
        while not stop and self._sink.maintain(db):
            stop.beat()
            if self._clock.monotonic() >= until:
                break

    def _collect(self, stop: Stop) -> list[Record]:
        records: list[Record] = []
        until = self._clock.monotonic() + self._sink.batch_seconds
        while len(records) < SinkSettings.of(self._settings).batch_records and not stop:
            wait = until - self._clock.monotonic()
            if wait <= 0:
                break
            messages = self._consumer.consume(
                SinkSettings.of(self._settings).batch_records - len(records),
                min(wait, _POLL_SECONDS),
            )
            records += checked(messages)
            self._lag.look()
            if not self._is_placed:  # others may have these now
                return []
        return records

    def _step(self, db: Connection, records: Sequence[Record]) -> None:
        began, began_us = self._clock.monotonic(), self._clock.now_us()
        with db.transaction(), db.cursor() as cursor:
            fresh = offset_store.not_yet_written(cursor, self._sink.name, records)
            batch = self._decoded(cursor, fresh)
            if batch:
                self._write(cursor, batch)
            self._sink.idle(cursor)
            self._producer.flush(_DELIVERY_SECONDS)  # no offset moves past a letter on its way
            _reach(Place.BEFORE_OFFSET, fresh)
            offset_store.save(cursor, self._sink.name, fresh)
            _reach(Place.BEFORE_COMMIT, fresh)
        self._lag.done()
        if records:
            lasted = self._clock.monotonic() - began
            metrics.BATCH_SECONDS.labels(self._sink.name).observe(lasted)
            _reach(Place.AFTER_COMMIT, fresh)
            for record in fresh:
                tracing.written(self._sink.name, record, began_us, self._clock.now_us())
            self._show(offset_store.ends(records))

    def _decoded(self, cursor: Cursor, records: Sequence[Record]) -> list[Taken]:
        batch: list[Taken] = []
        for record in records:
            took(self._sink.name, record, self._clock.now_us())
            if not self._is_for_us(cursor, record):
                continue
            try:
                batch.append(Taken(record, record.decode(self._sink.topics[record.topic])))
            except InvalidRecord as error:
                self._give_up(cursor, record, error)
        return batch

    def _is_for_us(self, cursor: Cursor, record: Record) -> bool:
        """Whether to write a record; a replayed dead letter is for one service, and once."""
        if record.retry_for is None:
            return True
        if record.retry_for != self._sink.name:
            return False
        return record.retry_of is None or offset_store.take_retry(cursor, self._sink.name, record)

    def _write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        try:
            with cursor.connection.transaction():
                self._sink.write(cursor, batch)
        except (InvalidRecord, psycopg.DataError, psycopg.IntegrityError) as error:
            if len(batch) == 1:
                self._give_up(cursor, batch[0].record, _as_invalid(error))
                return
            log.debug("%s: a batch of %d has a bad record", self._sink.name, len(batch))
            middle = len(batch) // 2
            self._write(cursor, batch[:middle])
            self._write(cursor, batch[middle:])

    def _give_up(self, cursor: Cursor, record: Record, error: InvalidRecord) -> None:
        """Send a record to the dead letters."""
        name, run = self._sink.name, self._settings.run
        self._producer.send(give_up(record, name, error, self._clock.now_us(), run=run))
        offset_store.note_given_up(cursor, name, record)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Nothing is fetched before the database has said from where.
        self._partitions = partitions
        self._is_placed = False
        consumer.assign([])

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._partitions = []
        self._lag.lost()

    def _try_to_place(self, db: Connection) -> None:
        try:
            self._place(db)
        except KafkaException as error:
            # A broker is away, and another takes over: the next round finds it.
            if error.args[0].fatal():
                raise
            log.warning("%s: does not know where its topics end: %s", self._sink.name, error)

    def _place(self, db: Connection) -> None:
        """Read the partitions from where the database says."""
        name = self._sink.name
        places = [(str(at.topic), int(at.partition)) for at in self._partitions]
        with db.transaction(), db.cursor() as cursor:
            offsets = offset_store.next_offsets(cursor, name, places)
            for place, offset in offsets.items():
                if offset and self._is_another_topic(place, offset):
                    log.warning("%s: %s/%d was made anew: read from its beginning", name, *place)
                    offsets[place] = 0
                    offset_store.start_over(cursor, name, place)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])
        self._is_placed = True
        self._show(offsets)  # a worker that died may not have come to that
        self._health.ready()
        log.info("%s: %d partitions", name, len(places))
        _reach(Place.IN_RECOVERY, places)

    def _show(self, offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka how far the database has come."""
        told = [TopicPartition(*at, offset) for at, offset in offsets.items() if offset]
        if told:
            self._consumer.commit(offsets=told, asynchronous=True)

    def _is_another_topic(self, place: Partition, offset: int) -> bool:
        """Whether the topic ends before the offset: it was made anew since."""
        _low, high = self._consumer.get_watermark_offsets(
            TopicPartition(*place), _WATERMARK_SECONDS
        )
        return offset > int(high)

    def _wait(self, error: Exception, stop: Stop) -> None:
        """Pause after the database has failed, as a member of the group that reads nothing."""
        if self._is_placed:
            self._consumer.assign([])
            self._is_placed = False
        self._health.waits_for(DATABASE)
        if not self._pause:
            metrics.SINK_WAITING.labels(self._sink.name).set(1)
            log.warning("%s: waits for the database: %s", self._sink.name, first_line(error))
        self._lag.look_while_away()
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        until = self._clock.monotonic() + self._pause
        while not stop and self._clock.monotonic() < until:
            stop.beat()
            message = self._consumer.poll(_POLL_SECONDS)
            checked([message] if message else [])

    def _go_on(self) -> None:
        if self._pause:
            self._pause = 0.0
            self._health.has(DATABASE)
            metrics.SINK_WAITING.labels(self._sink.name).set(0)
            log.info("%s: the database is back", self._sink.name)


def _reach(place: Place, work: Sequence[object]) -> None:
    """A place to die, where there is anything in hand."""
    if work:
        reach(place)


def _as_invalid(error: Exception) -> InvalidRecord:
    if isinstance(error, InvalidRecord):
        return error
    reason = "unknown_reference" if isinstance(error, psycopg.errors.ForeignKeyViolation) else "row"
    # What else PostgreSQL tells quotes the row, which may be of a face.
    detail = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return InvalidRecord(reason, detail or type(error).__name__).with_traceback(error.__traceback__)
