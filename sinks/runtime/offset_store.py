"""The offsets of sinks in PostgreSQL, written in the transactions of their rows."""

from collections.abc import Mapping, Sequence

from sightline.storage.db import Cursor
from sightline.streaming.records import Partition, Record

_LOCK = """
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


def next_offsets(
    cursor: Cursor, sink: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    """Return the offset that a sink goes on from in each partition, 0 in one never read before."""
    cursor.executemany(
        "INSERT INTO sink_offsets (sink, topic, partition, next_offset)"
        " VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
        [(sink, topic, number) for topic, number in partitions],
    )
    cursor.execute(
        "SELECT topic, partition, next_offset FROM sink_offsets WHERE sink = %s", (sink,)
    )
    stored = {(topic, number): offset for topic, number, offset in cursor}
    return {partition: stored[partition] for partition in partitions}


def unwritten(cursor: Cursor, sink: str, records: Sequence[Record]) -> list[Record]:
    """Return the records past the stored offsets, whose rows stay locked until the commit."""
    if not records:
        return []
    partitions = list(end_offsets(records))
    cursor.execute(
        _LOCK, (sink, [topic for topic, _ in partitions], [number for _, number in partitions])
    )
    return past({(topic, number): offset for topic, number, offset in cursor}, records)


def past(stored: Mapping[Partition, int], records: Sequence[Record]) -> list[Record]:
    """Return the records at or past the next offsets of their partitions, each of them once."""
    next_offset = dict(stored)
    fresh = []
    for record in records:
        # After a rebalance within the batch its first records are delivered a second time.
        if record.offset >= next_offset[record.topic_partition]:
            next_offset[record.topic_partition] = record.offset + 1
            fresh.append(record)
    return fresh


def save(cursor: Cursor, sink: str, records: Sequence[Record]) -> None:
    """Store the offset behind the last record of each partition."""
    cursor.executemany(
        "UPDATE sink_offsets SET next_offset = %s, updated_at = now()"
        " WHERE sink = %s AND topic = %s AND partition = %s",
        [(offset, sink, *partition) for partition, offset in end_offsets(records).items()],
    )


def reset(cursor: Cursor, sink: str, partition: Partition) -> None:
    """Start a partition over whose topic was created anew: its rows here are of the old one."""
    values = (sink, *partition)
    cursor.execute(
        "UPDATE sink_offsets SET next_offset = 0 WHERE sink = %s AND topic = %s AND partition = %s",
        values,
    )
    cursor.execute("DELETE FROM given_up WHERE sink = %s AND topic = %s AND partition = %s", values)


def note_dead_letter(cursor: Cursor, sink: str, record: Record) -> None:
    """Note that a record became a dead letter, which may be replayed and then counts once."""
    cursor.execute(_NOTE_DEAD_LETTER, _origin(sink, record))


def claim_retry(cursor: Cursor, sink: str, record: Record) -> bool:
    """Return whether a replayed dead letter is to be written: noted, and not written since."""
    cursor.execute(_CLAIM_RETRY, _origin(sink, record))
    return cursor.rowcount == 1


def end_offsets(records: Sequence[Record]) -> Mapping[Partition, int]:
    """Return the offset behind the last record of each partition."""
    return {record.topic_partition: record.offset + 1 for record in records}


def _origin(sink: str, record: Record) -> tuple[str, str, int, int]:
    offset = record.offset if record.retry_of is None else record.retry_of
    return sink, record.topic, record.partition, offset
