"""The protocol of a target: the store that a sink writes to, and that keeps its offsets.

The loop's guarantee rests on the target's transaction: what a sink writes, the notes of its dead
letters and its offsets become visible together or not at all.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from sightline.runtime.errors import PoisonRecord
from sightline.streaming.records import Partition, Record

ConnectionT_co = TypeVar("ConnectionT_co", covariant=True)
CursorT_co = TypeVar("CursorT_co", covariant=True)


class SinkTransaction(Protocol[CursorT_co]):
    """An open transaction, with the offsets of one sink."""

    @property
    def cursor(self) -> CursorT_co:
        """The object that the sink writes through."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what is written within the block when it raises, and nothing before it."""

    def next_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Return the offset to go on from in each partition, 0 in one never read before."""

    def unwritten(self, records: Sequence[Record]) -> list[Record]:
        """Return the records past the stored offsets, which stay locked until the commit.

        Neither a worker that has lost a partition and does not know it yet, nor one that does not
        know whether its last transaction was committed, can write a record twice.
        """

    def save_offsets(self, records: Sequence[Record]) -> None:
        """Store the offset behind the last record of each partition."""

    def reset(self, partition: Partition) -> None:
        """Start a partition over whose topic was created anew."""

    def note_dead_letter(self, record: Record) -> None:
        """Note that a record became a dead letter, which may be replayed and then counts once."""

    def claim_retry(self, record: Record) -> bool:
        """Return whether a replayed dead letter is to be written: noted, and not written since."""


class SinkSession(Protocol[ConnectionT_co, CursorT_co]):
    """An open connection to a target."""

    @property
    def connection(self) -> ConnectionT_co:
        """The object that the sink's maintenance works through."""

    def transaction(self) -> AbstractContextManager[SinkTransaction[CursorT_co]]:
        """Commit at the end of the block, roll back when it raises."""


class SinkTarget(Protocol[ConnectionT_co, CursorT_co]):
    """A store that a sink writes to."""

    @property
    def name(self) -> str:
        """The dependency as health reports and logs call it, such as `database`."""

    @property
    def unavailable(self) -> tuple[type[Exception], ...]:
        """The errors of a target that is away: the loop waits, then goes on from its offsets."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """The errors that some record of a batch caused: the loop halves the batch."""

    def connect(self) -> AbstractContextManager[SinkSession[ConnectionT_co, CursorT_co]]:
        """Open a session for the length of the block."""

    def as_invalid(self, refusal: Exception) -> PoisonRecord:
        """Return the reason of a refusal as a dead letter states it."""
