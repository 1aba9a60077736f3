"""PostgreSQL as a sink's target: rows, notes of dead letters and offsets in one transaction."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from google.protobuf.message import Message

from schemas.topics import Topic
from sightline.runtime.errors import PoisonRecord, UnreachableError
from sightline.runtime.health import DATABASE
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect
from sightline.streaming.records import Partition, Record
from sinks.runtime.offsets import end_offsets, past
from sinks.runtime.sink import Sink, topics_of
from sinks.settings import SinkSettings

PostgresSink = Sink[Connection, Cursor]
"""A sink that writes rows."""

_IDLE_TRANSACTION_TIMEOUT_SECONDS = 60
"""A worker that is frozen within a transaction locks its rows against its successor."""


# Locked, so that neither a worker that has lost a partition nor one that does not know whether its
# last transaction was committed writes a record twice.
_LOCK_OFFSETS = """
SELECT topic, partition, next_offset FROM sink_offsets
WHERE sink = %s AND (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::integer[]))
ORDER BY topic, partition FOR UPDATE
"""

_NOTE_DEAD_LETTER = """
INSERT INTO given_up (sink, topic, partition, record_offset) VALUES (%s, %s, %s, %s)
ON CONFLICT (sink, topic, partition, record_offset)
    DO UPDATE SET given_up_at = excluded.given_up_at, taken_at = NULL
"""

_CLAIM_RETRY = """
UPDATE given_up SET taken_at = now()
WHERE sink = %s AND topic = %s AND partition = %s AND record_offset = %s AND taken_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class PostgresTransaction:
    """An open transaction of one sink."""

    cursor: Cursor
    sink: str

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is written within the block when it raises, and nothing before it."""
        with self.cursor.connection.transaction():
            yield

    def next_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the offset to go on from in each partition, 0 in one never read before."""
        self.cursor.executemany(
            "INSERT INTO sink_offsets (sink, topic, partition, next_offset)"
            " VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
            [(self.sink, topic, number) for topic, number in partitions],
        )
        self.cursor.execute(
            "SELECT topic, partition, next_offset FROM sink_offsets WHERE sink = %s", (self.sink,)
        )
        stored = {(topic, number): offset for topic, number, offset in self.cursor}
        return {partition: stored[partition] for partition in partitions}

    def unwritten(self, records: Sequence[Record]) -> list[Record]:
        """Return the records past the stored offsets, whose rows stay locked until the commit."""
        if not records:
            return []
        topics, numbers = zip(*end_offsets(records), strict=True)
        self.cursor.execute(_LOCK_OFFSETS, (self.sink, list(topics), list(numbers)))
        return past({(topic, number): offset for topic, number, offset in self.cursor}, records)

    def save_offsets(self, records: Sequence[Record]) -> None:
        """Store the offset behind the last record of each partition."""
        self.cursor.executemany(
            "UPDATE sink_offsets SET next_offset = %s, updated_at = now()"
            " WHERE sink = %s AND topic = %s AND partition = %s",
            [(offset, self.sink, *partition) for partition, offset in end_offsets(records).items()],
        )

    def reset(self, partition: Partition) -> None:
        """Start a partition over whose topic was created anew: its rows here are of the old one."""
        values = (self.sink, *partition)
        where = "WHERE sink = %s AND topic = %s AND partition = %s"
        self.cursor.execute(f"UPDATE sink_offsets SET next_offset = 0 {where}", values)  # noqa: S608
        self.cursor.execute(f"DELETE FROM given_up {where}", values)  # noqa: S608

    def note_dead_letter(self, record: Record) -> None:
        """Note that a record became a dead letter, which may be replayed and then counts once."""
        self.cursor.execute(_NOTE_DEAD_LETTER, self._origin(record))

    def claim_retry(self, record: Record) -> bool:
        """Return whether a replayed dead letter is to be written: noted, and not written since."""
        self.cursor.execute(_CLAIM_RETRY, self._origin(record))
        return self.cursor.rowcount == 1

    def _origin(self, record: Record) -> tuple[str, str, int, int]:
        offset = record.offset if record.retry_of is None else record.retry_of
        return self.sink, record.topic, record.partition, offset


@dataclass(frozen=True, slots=True)
class PostgresSession:
    """A connection, for one sink."""

    connection: Connection
    sink: str

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """Commit at the end of the block, roll back when it raises."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            yield PostgresTransaction(cursor, self.sink)


class PostgresTarget:
    """The database of the settings, in the schema of their run."""

    name = DATABASE
    unavailable: tuple[type[Exception], ...] = (UnreachableError, psycopg.OperationalError)
    refusals: tuple[type[Exception], ...] = (
        PoisonRecord,
        psycopg.DataError,
        psycopg.IntegrityError,
    )

    def __init__(self, sink: str, settings: Settings) -> None:
        self._sink = sink
        self._settings = settings

    @contextmanager
    def connect(self) -> Iterator[PostgresSession]:
        """Open a connection for the length of the block.

        Raises UnreachableError when there is no database, SightlineError when it is empty.
        """
        with closing(connect(self._settings)) as connection:
            with connection.transaction():
                connection.execute(
                    "SET idle_in_transaction_session_timeout ="
                    f" '{_IDLE_TRANSACTION_TIMEOUT_SECONDS}s'"
                )
            yield PostgresSession(connection, self._sink)

    def as_invalid(self, refusal: Exception) -> PoisonRecord:
        """Return the reason of a refusal as a dead letter states it."""
        if isinstance(refusal, PoisonRecord):
            return refusal
        is_reference = isinstance(refusal, psycopg.errors.ForeignKeyViolation)
        reason = "unknown_reference" if is_reference else "row"
        # The other fields of PostgreSQL's message quote the row, which may hold a face.
        detail = refusal.diag.message_primary if isinstance(refusal, psycopg.Error) else None
        invalid = PoisonRecord(reason, detail or type(refusal).__name__)
        return invalid.with_traceback(refusal.__traceback__)


class RowWriter:
    """Base of sinks that write rows: no work is due by time or outside of batches."""

    name: str

    def __init__(self, settings: Settings, *kinds: tuple[Topic, type[Message]]) -> None:
        """Read topics, each with the type of its messages, in the batches of the settings."""
        self.topics: Mapping[str, type[Message]] = topics_of(settings.run, *kinds)
        self.batch_seconds = SinkSettings.of(settings).batch_seconds

    def target(self, settings: Settings) -> PostgresTarget:
        """Return the database of the settings."""
        return PostgresTarget(self.name, settings)

    def idle(self, cursor: Cursor) -> None:
        """Do nothing."""

    def maintain(self, connection: Connection) -> bool:  # noqa: ARG002
        """Do nothing; return False."""
        return False
