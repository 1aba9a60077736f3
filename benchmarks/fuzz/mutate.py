"""Mutated records, deterministic for a seed."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from sightline.streaming.records import RETRY_FOR, RETRY_OF


@dataclass(frozen=True, slots=True)
class MutatedRecord:
    """A mutated record as it is sent."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 1_760_000_000_000


Seed = tuple[bytes, Message]
"""The key and the message of a good record."""

_INTEGERS = (0, 1, 99, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**64 - 1)
_FLOATS = (0.0, -0.0, 1e-320, 1e30, -1e30, 1e308, float("nan"), float("inf"), float("-inf"))
_STRINGS = (
    "", " ", "\x00", "door\x00", "../../etc/passwd", "'; DROP TABLE employees; --", "\u202e\ud7ff",
    "x" * 201, "x" * 70_000, "{}", "-1", "00000000-0000-0000-0000-000000000000", "NaN",
)  # fmt: skip
_BYTES = (b"", b"\x00", b"\xff" * 7, b"\x00\x00\xc0\x7f" * 128, bytes(512), b"\xff\xd8\xff\xd9",
          bytes(20_000))  # fmt: skip
_HEADERS: tuple[tuple[tuple[str, bytes], ...], ...] = (
    ((RETRY_FOR, b"nobody"),), ((RETRY_FOR, b"\xff\xfe"), (RETRY_OF, b"9" * 30)),
    ((RETRY_FOR, b""),), ((RETRY_FOR, b"match"), (RETRY_OF, b"-1")), (("x" * 300, b"\x00"),),
)  # fmt: skip
_LONGEST = 1_000_000
_KEYS = (None, b"", b"\xff\xfe", b"another", b"k" * 5000, b"person|x", b"track|", b"t|", b"p|x|y")


class Mutator:
    """Generator of mutated records from good ones."""

    def __init__(self, seeds: Sequence[Seed], others: Sequence[Message], seed: int) -> None:
        """Take good records of the topic as `seeds`, and messages of any topic as `others`."""
        self._seeds = list(seeds)
        self._others = [message.SerializeToString() for message in others]
        self._random = random.Random(seed)
        self._mutations: tuple[Callable[[Message], bytes | None], ...] = (
            self._as_it_is, self._flipped, self._cut, self._moved, self._padded, self._other_kind,
            self._field, self._field, self._field, self._fields, self._swapped, self._wire_type,
            self._noise,
        )  # fmt: skip

    def records(self, count: int) -> Iterator[MutatedRecord]:
        """Yield `count` mutated records."""
        for _ in range(count):
            key, message = self._random.choice(self._seeds)
            record = MutatedRecord(key, self._random.choice(self._mutations)(message))
            yield self._wrapped(record)

    def _wrapped(self, record: MutatedRecord) -> MutatedRecord:
        """Change the record's key, headers or timestamp now and then."""
        match self._random.randrange(12):
            case 0:
                return replace(record, key=self._random.choice(_KEYS))
            case 1:
                return replace(record, headers=self._random.choice(_HEADERS))
            case 2:
                return replace(record, timestamp_ms=self._random.choice((0, 1, 2**42)))
        return record

    def _as_it_is(self, message: Message) -> bytes:
        return message.SerializeToString()

    def _flipped(self, message: Message) -> bytes:
        data = bytearray(message.SerializeToString())
        for _ in range(self._random.randint(1, 8)):
            at = self._random.randrange(len(data))
            data[at] ^= 1 << self._random.randrange(8)
        return bytes(data)

    def _cut(self, message: Message) -> bytes:
        data = message.SerializeToString()
        first, end = sorted(self._random.choices(range(len(data) + 1), k=2))
        return data[:first] if self._random.random() < 0.5 else data[:first] + data[end:]

    def _moved(self, message: Message) -> bytes:
        data = message.SerializeToString()
        at = self._random.randrange(len(data))
        return data[at:] + data[:at]

    def _padded(self, message: Message) -> bytes:
        data = message.SerializeToString()
        return data + self._random.choice((data, self._random.randbytes(20), b"\x0a"))

    def _noise(self, _message: Message) -> bytes | None:
        return self._random.choice((None, b"", self._random.randbytes(self._random.randrange(300))))

    def _other_kind(self, _message: Message) -> bytes:
        """Return a message of another topic."""
        return self._random.choice(self._others)

    def _field(self, message: Message) -> bytes:
        mutated = _copy(message)
        self._mutate_field(mutated)
        return mutated.SerializeToString()

    def _fields(self, message: Message) -> bytes:
        mutated = _copy(message)
        for _ in range(self._random.randint(2, 6)):
            self._mutate_field(mutated)
        return mutated.SerializeToString()

    def _mutate_field(self, message: Message) -> None:
        owner, field = self._random.choice(list(_fields_of(message)))
        if self._random.random() < 0.2 or field.message_type is not None:
            owner.ClearField(field.name)
            return
        value = self._value(field)
        if field.is_repeated:
            many = self._random.choice((1, 3, 500))
            size = len(value) if isinstance(value, str | bytes) else 1
            # A value longer than the largest record would not be sent.
            getattr(owner, field.name).extend([value] * min(many, _LONGEST // max(size, 1)))
        else:
            setattr(owner, field.name, value)

    def _value(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return self._random.choice((*_BYTES, self._random.randbytes(512)))
            case FieldDescriptor.CPPTYPE_STRING:
                return self._random.choice(_STRINGS)
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return self._random.choice(_FLOATS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._random.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return self._random.choice((0, 1, 2, 3, 4, 99))
        return self._integer(field)

    def _integer(self, field: Any) -> int:
        bits = 64 if field.cpp_type in _WIDE else 32
        signed = field.cpp_type in _SIGNED
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        number = self._random.choice(_INTEGERS) * (self._random.choice((1, -1)) if signed else 1)
        return int(min(max(number, low), high))

    def _swapped(self, message: Message) -> bytes:
        """Swap the values of two fields of one type."""
        mutated = _copy(message)
        plain = [
            (owner, field) for owner, field in _fields_of(mutated)
            if field.message_type is None and not field.is_repeated
        ]  # fmt: skip
        owner, field = self._random.choice(plain)
        same = [(other, one) for other, one in plain if one.type == field.type]
        other, one = self._random.choice(same)
        mine, theirs = getattr(owner, field.name), getattr(other, one.name)
        setattr(owner, field.name, theirs)
        setattr(other, one.name, mine)
        return mutated.SerializeToString()

    def _wire_type(self, message: Message) -> bytes:
        """Append a field with a random wire type."""
        field: Any = self._random.choice(list(message.DESCRIPTOR.fields))
        kind = self._random.randrange(8)
        tag = field.number << 3 | kind
        head = bytes([tag]) if tag < 128 else bytes([tag & 0x7F | 0x80, tag >> 7])
        return message.SerializeToString() + head + self._random.randbytes(8)


_WIDE = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_SIGNED = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32}


def _copy(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _fields_of(message: Message) -> Iterator[tuple[Any, Any]]:
    """Yield all fields of a message and of its set submessages, each with its owner."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from _fields_of(inner)
