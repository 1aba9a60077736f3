"""Input and output of a stage as plain values, so that a stage is tested without a broker."""

from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from schemas.topics import Topic
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.headers import Headers

M = TypeVar("M", bound=Message)

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

RETRY_FOR = "retry-for"
"""Header of a replayed dead letter: the one service that is to process it again."""

RETRY_OF = "retry-of"
"""Header of a replayed dead letter: its original offset in the same partition."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read from a topic; its time is the capture time, in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()
    waited_seconds: float = 0.0
    """Time in its partition until it was read, by this process's clock (`lag.ConsumerLag`)."""
    records_behind: int = 0
    """Records of its partition after it, as far as known when it was read."""

    @property
    def topic_partition(self) -> Partition:
        """The partition that it was read from."""
        return self.topic, self.partition

    @property
    def retry_for(self) -> str | None:
        """The service that a replayed dead letter is for; None for any other record."""
        values = (value for key, value in self.headers if key == RETRY_FOR)
        return next((value.decode(errors="replace") for value in values), None)

    @property
    def retry_of(self) -> int | None:
        """The original offset of a replayed dead letter; None for any other record."""
        values = (value for key, value in self.headers if key == RETRY_OF)
        return next((int(value) for value in values if value.isdigit() and len(value) < 19), None)

    @property
    def position(self) -> pb.Position:
        """The record's position as a message."""
        return pb.Position(topic=self.topic, partition=self.partition, offset=self.offset)

    def decode(self, kind: type[M]) -> M:
        """Return the message in the record. Raises InvalidRecord."""
        try:
            return decode(kind, self.value)
        except InvalidMessageError as error:
            raise PoisonRecord(error.reason, error.detail) from error


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """A record to be produced; its time is the capture time, in milliseconds."""

    topic: str
    key: str
    value: bytes | None
    timestamp_ms: int
    partition: int | None = None  # None: by the key's hash
    headers: Headers = ()

    @classmethod
    def of(cls, topic: Topic, key: str, message: Message, at_us: int) -> "OutputRecord":
        """Return the record of a message, by its capture time in microseconds."""
        # A map has an order of its own in every process: the same message is the same bytes.
        value = message.SerializeToString(deterministic=True)
        return cls(topic.name, key, value, at_us // 1000)


def with_headers(outs: list[OutputRecord], headers: Headers) -> list[OutputRecord]:
    """Return the records with further headers; often there are none."""
    return [replace(out, headers=out.headers + headers) for out in outs] if headers else outs
