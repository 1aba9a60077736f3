"""What goes in and out of a stage: plain values, so that a stage is tested without a broker."""

from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.errors import InvalidRecord

M = TypeVar("M", bound=Message)

Headers = tuple[tuple[str, bytes], ...]

RETRY_FOR = "retry-for"
"""Header of a dead letter that is replayed: the one service that is to take it once more."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it came from a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()

    @property
    def retry_for(self) -> str | None:
        """The service that a replayed dead letter is for; None for any other record."""
        return next((value.decode() for key, value in self.headers if key == RETRY_FOR), None)

    @property
    def position(self) -> pb.Position:
        """Where it stands."""
        return pb.Position(topic=self.topic, partition=self.partition, offset=self.offset)

    def decode(self, kind: type[M]) -> M:
        """The message in it. Raises InvalidRecord."""
        try:
            return decode(kind, self.value)
        except InvalidMessageError as error:
            raise InvalidRecord(error.reason, error.detail) from error


@dataclass(frozen=True, slots=True)
class Out:
    """A record to be written; its time is the capture time, in milliseconds."""

    topic: str
    key: str
    value: bytes | None
    timestamp_ms: int
    partition: int | None = None  # None: by the key's hash
    headers: Headers = ()
