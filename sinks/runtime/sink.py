"""The protocol of a sink, and the records that the loop hands it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from schemas.naming import of_run
from schemas.topics import LIVE, RUN_TOPICS, Topic
from sightline.runtime.settings import Settings
from sightline.streaming.records import Record
from sinks.runtime.target import SinkTarget

ConnectionT = TypeVar("ConnectionT")
CursorT = TypeVar("CursorT")


@dataclass(frozen=True, slots=True)
class DecodedRecord:
    """A record of a batch with its decoded message."""

    record: Record
    message: Message


class Sink(Protocol[ConnectionT, CursorT]):
    """A writer: the topics that it reads, the target that it writes to, and the writing itself."""

    name: str
    topics: Mapping[str, type[Message]]
    batch_seconds: float

    def target(self, settings: Settings) -> SinkTarget[ConnectionT, CursorT]:
        """Return the store that the sink writes to, and that keeps its offsets."""

    def write(self, cursor: CursorT, batch: Sequence[DecodedRecord]) -> None:
        """Write a batch within the caller's transaction; the same batch again changes nothing.

        Raises InvalidRecord for a record that can never be written. The loop then finds that
        record by halving the batch.
        """

    def idle(self, cursor: CursorT) -> None:
        """Do the work that is due by time alone; called at least once every `batch_seconds`."""

    def maintain(self, connection: ConnectionT) -> bool:
        """Do a slice of the work that is part of no batch, in a transaction of its own.

        Called between batches. Returns whether there may be more: the loop then calls again, soon
        where no records wait.
        """


def topics_of(run: str, *kinds: tuple[Topic, type[Message]]) -> dict[str, type[Message]]:
    """Return the message type of each topic that a sink reads in a run, by the topic's name.

    Topics that a run has no copy of are left out: their contents are in the run's tables before
    its sinks start.
    """
    return {
        of_run(topic, run).name: kind for topic, kind in kinds if run == LIVE or topic in RUN_TOPICS
    }
