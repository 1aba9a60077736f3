"""How far a sink has come, as the database says: written in the transactions of its rows."""

from collections.abc import Mapping, Sequence

import psycopg
from psycopg.rows import TupleRow

from sightline.streaming.records import Record

Cursor = psycopg.Cursor[TupleRow]

Partition = tuple[str, int]
"""A topic and a number in it."""

_LOCK = """
SELECT topic, partition, next_offset FROM sink_offsets
WHERE sink = %s AND (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::integer[]))
ORDER BY topic, partition FOR UPDATE
"""

_GIVEN_UP = """
INSERT INTO given_up (sink, topic, partition, record_offset) VALUES (%s, %s, %s, %s)
ON CONFLICT (sink, topic, partition, record_offset)
    DO UPDATE SET given_up_at = excluded.given_up_at, taken_at = NULL
"""

_TAKE = """
UPDATE given_up SET taken_at = now()
WHERE sink = %s AND topic = %s AND partition = %s AND record_offset = %s AND taken_at IS NULL
"""


def next_offsets(
    cursor: Cursor, sink: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    """Where a sink goes on in partitions; 0 in those that it has never read."""
    cursor.executemany(
        "INSERT INTO sink_offsets (sink, topic, partition, next_offset)"
        " VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
        [(sink, topic, number) for topic, number in partitions],
    )
    cursor.execute(
        "SELECT topic, partition, next_offset FROM sink_offsets WHERE sink = %s", (sink,)
    )
    saved = {(topic, number): offset for topic, number, offset in cursor}
    return {partition: saved[partition] for partition in partitions}


def not_yet_written(cursor: Cursor, sink: str, records: Sequence[Record]) -> list[Record]:
    """The records past the stored offsets, whose rows stay locked until the commit.

    A worker that lost a partition without knowing it yet can write nothing twice, and neither
    can one that does not know whether its last transaction was committed.
    """
    if not records:
        return []
    partitions = list(ends(records))
    cursor.execute(
        _LOCK, (sink, [topic for topic, _ in partitions], [number for _, number in partitions])
    )
    stored = {(topic, number): offset for topic, number, offset in cursor}
    fresh = []
    for record in records:
        partition = record.topic, record.partition
        # After a rebalance amid the batch its first records come a second time.
        if record.offset >= stored[partition]:
            stored[partition] = record.offset + 1
            fresh.append(record)
    return fresh


def save(cursor: Cursor, sink: str, records: Sequence[Record]) -> None:
    """Say that a sink has come past records."""
    cursor.executemany(
        "UPDATE sink_offsets SET next_offset = %s, updated_at = now()"
        " WHERE sink = %s AND topic = %s AND partition = %s",
        [(offset, sink, topic, number) for (topic, number), offset in ends(records).items()],
    )


def start_over(cursor: Cursor, sink: str, partition: Partition) -> None:
    """The topic was made anew: what is known of its partition was of another."""
    where = (sink, *partition)
    cursor.execute(
        "UPDATE sink_offsets SET next_offset = 0 WHERE sink = %s AND topic = %s AND partition = %s",
        where,
    )
    cursor.execute("DELETE FROM given_up WHERE sink = %s AND topic = %s AND partition = %s", where)


def note_given_up(cursor: Cursor, sink: str, record: Record) -> None:
    """A record goes to the dead letters: it may be replayed, and then counts once."""
    cursor.execute(_GIVEN_UP, _origin(sink, record))


def take_retry(cursor: Cursor, sink: str, record: Record) -> bool:
    """Whether a replayed dead letter is to be written: it was given up, and not written since."""
    cursor.execute(_TAKE, _origin(sink, record))
    return cursor.rowcount == 1


def ends(records: Sequence[Record]) -> Mapping[Partition, int]:
    """The offset behind the last record of each partition."""
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def _origin(sink: str, record: Record) -> tuple[str, str, int, int]:
    offset = record.offset if record.retry_of is None else record.retry_of
    return sink, record.topic, record.partition, offset
