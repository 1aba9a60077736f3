"""What goes in and out of a stage: plain values, so that a stage is tested without a broker."""

from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.decode import InvalidMessageError, decode
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.headers import Headers

M = TypeVar("M", bound=Message)

RETRY_FOR = "retry-for"
"""Header of a dead letter that is replayed: the one service that is to take it once more."""

RETRY_OF = "retry-of"
"""Header of the same: its offset in this very partition when it was first given up."""


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
        named = (value for key, value in self.headers if key == RETRY_FOR)
        return next((value.decode(errors="replace") for value in named), None)

    @property
    def retry_of(self) -> int | None:
        """The offset at which it was first given up; None for any other record."""
        said = (value for key, value in self.headers if key == RETRY_OF)
        return next((int(value) for value in said if value.isdigit() and len(value) < 19), None)

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


def with_headers(outs: list[Out], headers: Headers) -> list[Out]:
    """The same records with headers besides; often there are none."""
    return [replace(out, headers=out.headers + headers) for out in outs] if headers else outs
