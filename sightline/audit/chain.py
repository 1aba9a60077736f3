"""A line of the trail, what it is hashed of, and what is wrong with lines. Pure."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from sightline.runtime.clock import to_us

Outcome = Literal["done", "refused", "failed"]
Scalar = str | int
Value = Scalar | Sequence[Scalar]
About = Mapping[str, Value]
"""What a line is about: ids and filters. Never names of people, vectors or pictures."""

FIRST = bytes(32)
"""What stands in the first line for the hash of the one before."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says."""

    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    role: str
    address: str | None
    action: str
    about: About
    purpose: str | None
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the trail at some time, as it is kept apart from the trail itself."""

    line: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is kept."""

    line: int
    said: Said
    previous: bytes
    hash: bytes
    key_id: str
    signature: bytes

    @property
    def head(self) -> Head:
        """The end of the trail while this is its last line."""
        return Head(self.line, self.hash)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that somebody has done to the trail."""

    line: int
    what: Literal["changed", "removed", "inserted", "forged", "replaced"]
    detail: str


class Signatures(Protocol):
    """Knows the installation's keys; `audit.keys` has them."""

    def holds(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Whether one of our own keys has signed the message."""
        ...


def hash_of(line: int, said: Said, previous: bytes) -> bytes:
    """SHA-256 of all that a line says, its number, and the hash of the line before it."""
    told = {
        "line": line,
        "at_us": to_us(said.at),
        "actor": [said.actor_kind, said.actor_id, said.actor_name, said.role, said.address],
        "action": said.action,
        "about": said.about,
        "purpose": said.purpose,
        "outcome": said.outcome,
        "previous": previous.hex(),
    }
    plain = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode()).digest()


def flaws(lines: Iterable[Line], heads: Iterable[Head], signatures: Signatures) -> Iterator[Flaw]:
    """What is wrong with a whole trail, in its order; nothing where it is as it was written.

    `heads`: ends that it has had. What was cut off behind the last line shows by them alone.
    """
    wanted = sorted(set(heads), key=lambda head: head.line)
    by_line: dict[int, list[bytes]] = {}
    for head in wanted:
        by_line.setdefault(head.line, []).append(head.hash)
    number, previous = 0, FIRST
    for one in lines:
        if one.line > number + 1:
            yield Flaw(number + 1, "removed", _span(number + 1, one.line - 1))
        elif one.previous != previous:
            yield Flaw(one.line, "inserted", "it does not follow the line before it")
        if hash_of(one.line, one.said, one.previous) != one.hash:
            yield Flaw(one.line, "changed", "it does not say what it said when it was written")
        if not signatures.holds(one.key_id, one.hash, one.signature):
            yield Flaw(one.line, "forged", "none of this installation's keys has signed it")
        if any(kept != one.hash for kept in by_line.get(one.line, ())):
            yield Flaw(one.line, "replaced", "another line ended the trail when it was this long")
        number, previous = one.line, one.hash
    longest = wanted[-1].line if wanted else 0
    if longest > number:
        yield Flaw(number + 1, "removed", f"{_span(number + 1, longest)}, at the end")


def _span(first: int, last: int) -> str:
    return f"line {first} is gone" if first == last else f"lines {first} to {last} are gone"
