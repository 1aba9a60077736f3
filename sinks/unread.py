"""How near to being deleted unread is what a group has yet to read. Pure."""

from dataclasses import dataclass

from sightline.streaming.topic_inspector import Held


@dataclass(frozen=True, slots=True)
class Unread:
    """What a group has yet to read of a partition, or of several."""

    records: int = 0
    share: float = 0.0
    """Of what is kept; from 1 on the oldest of it is deleted next."""
    lost: int = 0
    """Records that were deleted before they were read."""

    def __add__(self, other: "Unread") -> "Unread":
        """Of two partitions: the worst share counts."""
        return Unread(
            self.records + other.records,
            max(self.share, other.share),
            self.lost + other.lost,
        )


def unread(position: int, held: Held, age_ms: int | None = None) -> Unread:
    """What a group at an offset has yet to read of a partition.

    `age_ms` is how old the record there is; None where it does not matter. Sizes are taken to be
    even within a partition. Offsets that hold no records, markers of transactions, count as such.
    """
    start = max(position, held.low)
    records = max(0, held.high - start)
    share = 0.0
    if held.limit_bytes > 0 and records:
        share = held.size * records / (held.high - held.low) / held.limit_bytes
    if held.limit_ms > 0 and records and age_ms is not None:
        share = max(share, age_ms / held.limit_ms)
    return Unread(records, share, lost=max(0, held.low - position))
