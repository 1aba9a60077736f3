"""Hash chain of the audit trail: entries, their hashes, and the detection of tampering. Pure."""

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
"""Ids and filters that an entry is about. Never names of people, embeddings or pictures."""

GENESIS_HASH = bytes(32)
"""Previous hash of the first line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Content of a line."""

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
    """Number and hash of the trail's last line at some time, kept apart from the trail."""

    line: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the trail, chained and signed."""

    line: int
    entry: Entry
    previous: bytes
    hash: bytes
    key_id: str
    signature: bytes

    @property
    def head(self) -> Head:
        """The head of the trail while this is its last line."""
        return Head(self.line, self.hash)


@dataclass(frozen=True, slots=True)
class Flaw:
    """A manipulation of the trail."""

    line: int
    kind: Literal["changed", "removed", "inserted", "forged", "replaced"]
    detail: str


class SignatureVerifier(Protocol):
    """Verification of signatures; implemented in `audit.keys`."""

    def verify(self, key_id: str, message: bytes, signature: bytes) -> bool:
        """Tell whether a key of the installation has signed the message."""


def line_hash(line: int, content: Entry, previous: bytes) -> bytes:
    """Return the SHA-256 of a line's number and content and the hash of the line before it."""
    hashed = {
        "line": line,
        "at_us": to_us(content.at),
        "actor": [
            content.actor_kind,
            content.actor_id,
            content.actor_name,
            content.role,
            content.address,
        ],
        "action": content.action,
        "about": content.about,
        "purpose": content.purpose,
        "outcome": content.outcome,
        "previous": previous.hex(),
    }
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()


def find_flaws(
    lines: Iterable[Line], heads: Iterable[Head], signatures: SignatureVerifier
) -> Iterator[Flaw]:
    """Yield the manipulations of a whole trail, in its order; none for an intact trail.

    `heads` are former heads of it, the only evidence of lines cut off at the end.
    """
    ordered_heads = sorted(set(heads), key=lambda head: head.line)
    by_line: dict[int, list[bytes]] = {}
    for head in ordered_heads:
        by_line.setdefault(head.line, []).append(head.hash)
    number, previous = 0, GENESIS_HASH
    for line in lines:
        if line.line > number + 1:
            yield Flaw(number + 1, "removed", _span(number + 1, line.line - 1))
        elif line.previous != previous:
            yield Flaw(line.line, "inserted", "it does not follow the line before it")
        if line_hash(line.line, line.entry, line.previous) != line.hash:
            yield Flaw(line.line, "changed", "it does not say what it said when it was written")
        if not signatures.verify(line.key_id, line.hash, line.signature):
            yield Flaw(line.line, "forged", "none of this installation's keys has signed it")
        if any(head_hash != line.hash for head_hash in by_line.get(line.line, ())):
            yield Flaw(line.line, "replaced", "another line ended the trail when it was this long")
        number, previous = line.line, line.hash
    longest = ordered_heads[-1].line if ordered_heads else 0
    if longest > number:
        yield Flaw(number + 1, "removed", f"{_span(number + 1, longest)}, at the end")


def _span(first: int, last: int) -> str:
    return f"line {first} is gone" if first == last else f"lines {first} to {last} are gone"
