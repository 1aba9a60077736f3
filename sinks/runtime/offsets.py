"""Offsets of a batch of records. Pure."""

from collections.abc import Mapping, Sequence

from sightline.streaming.records import Partition, Record


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


def end_offsets(records: Sequence[Record]) -> Mapping[Partition, int]:
    """Return the offset behind the last record of each partition."""
    return {record.topic_partition: record.offset + 1 for record in records}
