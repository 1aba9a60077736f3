"""What in a record of a topic is of a person: their ids, and those of what is theirs. Pure.

Every record of ours names what it is about: a face its track, a sighting its person, a template
its own id. So ids are all that has to be looked for, in the bytes as they lie there.
"""

import re
from collections.abc import Iterable, Iterator

from sightline.streaming.records import Record

_UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

_SURE = 1 << 28
"""The bytes of a smaller number may stand anywhere: it counts behind a field's tag alone."""

_TAGS = (0x08, 0x10, 0x18, 0x28, 0x48)
"""Of the fields that hold a global id, as numbers 1, 2, 3, 5 and 9."""


class Needles:
    """Looks for ids in records."""

    def __init__(self, uuids: Iterable[str], persons: Iterable[int]) -> None:
        self._uuids = {one.encode() for one in uuids}
        wanted = list(persons)
        numbers = [one for person in wanted for one in _encoded(person)]
        written = [rb"(?<![0-9])%d(?![0-9])" % person for person in wanted]
        self._persons = re.compile(b"|".join([*map(re.escape, numbers), *written]))

    def are_in(self, record: Record) -> bool:
        """Whether a record, or its key, has one of the ids in it."""
        headers = (value for _name, value in record.headers)
        return any(self._found(part) for part in (record.key, record.value, *headers) if part)

    def _found(self, data: bytes) -> bool:
        if any(one.group() in self._uuids for one in _UUID.finditer(data)):
            return True
        return self._persons.search(data) is not None


def _encoded(person: int) -> Iterator[bytes]:
    """A number as protobuf writes it."""
    plain = _varint(person)
    if person >= _SURE:
        yield plain
    else:
        yield from (bytes([tag]) + plain for tag in _TAGS)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
