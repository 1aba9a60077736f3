"""Logs of partitions, with the records and the markers of transactions."""

from dataclasses import dataclass, field
from enum import Enum

from sightline.streaming.records import Partition

Header = tuple[str, bytes]


class TransactionState(Enum):
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False)
class Transaction:
    """A transaction with the partitions and the group offsets that it ends with."""

    state: TransactionState = TransactionState.OPEN
    partitions: set[Partition] = field(default_factory=set)
    offsets: dict[tuple[str, Partition], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A record, or the control marker at the end of a transaction."""

    offset: int
    timestamp_ms: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[Header, ...] = ()
    transaction: Transaction | None = None
    is_marker: bool = False

    def is_visible(self, *, read_committed: bool) -> bool:
        """Return whether a consumer of an isolation level gets the entry."""
        if self.is_marker:
            return False
        if self.transaction is None or not read_committed:
            return True
        return self.transaction.state == TransactionState.COMMITTED


class PartitionLog:
    """The log of one partition."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.low = 0
        self.high = 0

    def append(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        self.high = entry.offset + 1
        return entry

    @property
    def last_stable_offset(self) -> int:
        """The offset of the first record of an open transaction; else the high watermark."""
        is_open = (
            entry.offset
            for entry in self.entries
            if entry.transaction is not None
            and not entry.is_marker
            and entry.transaction.state == TransactionState.OPEN
        )
        return next(is_open, self.high)

    def end(self, *, read_committed: bool) -> int:
        return self.last_stable_offset if read_committed else self.high

    def next_visible(self, offset: int, *, read_committed: bool) -> Entry | None:
        end = self.end(read_committed=read_committed)
        for entry in self.entries[max(0, offset - self.low) :]:
            if entry.offset >= end:
                return None
            if entry.is_visible(read_committed=read_committed):
                return entry
        return None

    def delete_before(self, offset: int) -> None:
        self.entries = [entry for entry in self.entries if entry.offset >= offset]
        self.low = offset
