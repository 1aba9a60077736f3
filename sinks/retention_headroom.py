"""Retention headroom: unread records of a group against the retention of their topic. Pure."""

from dataclasses import dataclass

from sightline.streaming.topic_inspector import PartitionState


@dataclass(frozen=True, slots=True)
class GroupBacklog:
    """Records of a partition, or of several, that a group has yet to read."""

    records: int = 0
    ratio: float = 0.0
    """Share of the retention that they use; from 1 on the oldest of them is deleted next."""
    lost: int = 0
    """Records that were deleted before they were read."""

    def __add__(self, other: "GroupBacklog") -> "GroupBacklog":
        """Return the sum over two partitions, with the higher of their ratios."""
        return GroupBacklog(
            self.records + other.records, max(self.ratio, other.ratio), self.lost + other.lost
        )


def group_backlogs(position: int, held: PartitionState, age_ms: int | None = None) -> GroupBacklog:
    """Return the records that a group at offset `position` has yet to read of a partition.

    `age_ms` is the age of the record at that offset; None where no time limit applies. Sizes are
    taken to be even within a partition. Markers of transactions count as records.
    """
    start = max(position, held.low)
    records = max(0, held.high - start)
    ratio = 0.0
    if held.limit_bytes > 0 and records:
        ratio = held.size * records / (held.high - held.low) / held.limit_bytes
    if held.limit_ms > 0 and records and age_ms is not None:
        ratio = max(ratio, age_ms / held.limit_ms)
    return GroupBacklog(records, ratio, lost=max(0, held.low - position))
