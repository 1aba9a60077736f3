"""Scanner for the ids of a person in Kafka records. Pure.

Every record names what it is about: a face its track, a sighting its person, a template its own id.
So ids are searched for, in the bytes of the record.
"""

import re
from collections.abc import Iterable, Iterator

from sightline.streaming.records import Record

_UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

_MIN_UNTAGGED = 1 << 28
"""Smallest number whose bytes cannot stand anywhere: smaller ones count behind a tag only."""

_TAGS = (0x08, 0x10, 0x18, 0x28, 0x48)
"""Tags of the fields that hold a global id: numbers 1, 2, 3, 5 and 9."""


class IdScanner:
    """Scanner for ids in records."""

    def __init__(self, uuids: Iterable[str], persons: Iterable[int]) -> None:
        self._uuids = {uuid.encode() for uuid in uuids}
        global_ids = list(persons)
        numbers = [encoding for global_id in global_ids for encoding in _encoded(global_id)]
        decimals = [rb"(?<![0-9])%d(?![0-9])" % global_id for global_id in global_ids]
        self._persons = re.compile(b"|".join([*map(re.escape, numbers), *decimals]))

    def matches(self, record: Record) -> bool:
        """Return True if a record, its key or a header holds one of the ids."""
        headers = (value for _name, value in record.headers)
        return any(self._is_found(part) for part in (record.key, record.value, *headers) if part)

    def _is_found(self, data: bytes) -> bool:
        if any(match.group() in self._uuids for match in _UUID.finditer(data)):
            return True
        return self._persons.search(data) is not None


def _encoded(global_id: int) -> Iterator[bytes]:
    """Yield the encodings of a global id as protobuf writes it."""
    varint = _varint(global_id)
    if global_id >= _MIN_UNTAGGED:
        yield varint
    else:
        yield from (bytes([tag]) + varint for tag in _TAGS)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
