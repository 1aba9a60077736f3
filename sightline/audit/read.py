"""The trail read back: what it says, whether it is as it was written, and a copy of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from psycopg.rows import TupleRow, dict_row

from sightline.audit.anchor import heads
from sightline.audit.chain import Flaw, Line, Said, Signatures, flaws
from sightline.audit.keys import trusted
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect

_AT_ONCE = 1000

_COLUMNS = (
    "line, at, actor_kind, actor_id, actor_name, role, address, action, about, purpose, outcome,"
    " previous, hash, key_id, signature"
)

_LIST = """
SELECT line, at, actor_kind, actor_id, actor_name, role, address, action, about, purpose, outcome
FROM audit
WHERE (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
    AND (%(actor)s::text IS NULL OR %(actor)s IN (actor_id, actor_name))
    AND (%(action)s::text IS NULL OR starts_with(action, %(action)s))
    AND (%(person)s::bigint IS NULL OR about ? 'everybody'
        OR about -> 'persons' @> to_jsonb(%(person)s::bigint))
    AND (%(before)s::bigint IS NULL OR line < %(before)s)
ORDER BY line DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines are wanted; None is any."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None  # or what it begins with
    person: int | None = None
    before: int | None = None  # a line: only earlier ones
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Checked:
    """What looking through the trail has found."""

    lines: int
    heads: int
    flaws: Sequence[Flaw]


def listed(db: Connection, asked: Asked) -> list[dict[str, Any]]:
    """Lines of the trail, the latest first."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LIST, asdict(asked)).fetchall()


def verify(settings: Settings) -> Checked:
    """Look through the whole trail, and the ends that the home has kept of it.

    Raises SightlineError, and InfrastructureError where the database is away.
    """
    keys = trusted(settings)
    known = heads(settings, keys)
    count = 0

    def counted(lines: Iterator[Line]) -> Iterator[Line]:
        nonlocal count
        for one in lines:
            count += 1
            yield one

    with closing(connect(settings)) as db:
        found = list(flaws(counted(_lines(db)), known, keys))
    return Checked(count, len(known), found)


def export(settings: Settings, out: TextIO) -> int:
    """Write the whole trail, a line of JSON each, as `verify_export` reads it; how many lines."""
    count = 0
    with closing(connect(settings)) as db:
        for count, line in enumerate(_lines(db), 1):  # noqa: B007 - the last one is wanted
            out.write(json.dumps(_told(line), ensure_ascii=False) + "\n")
    return count


def verify_export(copy: TextIO, signatures: Signatures) -> Checked:
    """Look through a copy of the trail. Raises ValueError for what is none."""
    lines = [_line(json.loads(row)) for row in copy]
    return Checked(len(lines), 0, list(flaws(lines, (), signatures)))


def _lines(db: Connection) -> Iterator[Line]:
    with db.cursor("audit") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(f"SELECT {_COLUMNS} FROM public.audit ORDER BY line")  # noqa: S608 - ours
        for row in cursor:
            yield _of_row(row)


def _of_row(row: TupleRow) -> Line:
    line, at, *said, previous, digest, key_id, signature = row
    return Line(line, Said(at, *said), bytes(previous), bytes(digest), key_id, bytes(signature))


def _told(line: Line) -> dict[str, Any]:
    return {
        "line": line.line,
        **asdict(line.said),
        "at": line.said.at.astimezone(UTC).isoformat(),
        "previous": line.previous.hex(),
        "hash": line.hash.hex(),
        "key_id": line.key_id,
        "signature": line.signature.hex(),
    }


def _line(told: Mapping[str, Any]) -> Line:
    try:
        said = Said(
            at=datetime.fromisoformat(told["at"]),
            **{name: told[name] for name in Said.__dataclass_fields__ if name != "at"},
        )
        return Line(
            told["line"],
            said,
            bytes.fromhex(told["previous"]),
            bytes.fromhex(told["hash"]),
            told["key_id"],
            bytes.fromhex(told["signature"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no line of the trail: {error}") from error
