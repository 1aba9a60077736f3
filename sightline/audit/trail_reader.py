"""Reading of the audit trail: listing, verification and export."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from psycopg.rows import TupleRow

from sightline.audit.anchor import heads
from sightline.audit.chain import Entry, Flaw, Line, SignatureVerifier, find_flaws
from sightline.audit.keys import trusted_keys
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect, dict_rows

_FETCH_ROWS = 1000

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
class TrailQuery:
    """A filter of lines; None is any."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None  # or a prefix of it
    person: int | None = None
    before: int | None = None  # the number of a line: only earlier lines
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification of the trail."""

    lines: int
    heads: int
    flaws: Sequence[Flaw]


def list_lines(db: Connection, query: TrailQuery) -> list[dict[str, Any]]:
    """Return lines of the trail, the latest first."""
    return dict_rows(db, _LIST, asdict(query))


def verify(settings: Settings) -> Verification:
    """Verify the whole trail against the heads that the home keeps.

    Raises SightlineError, and InfrastructureError when the database does not answer.
    """
    keys = trusted_keys(settings)
    kept_heads = heads(settings, keys)
    count = 0

    def counting(lines: Iterator[Line]) -> Iterator[Line]:
        nonlocal count
        for line in lines:
            count += 1
            yield line

    with closing(connect(settings)) as db:
        manipulations = list(find_flaws(counting(_lines(db)), kept_heads, keys))
    return Verification(count, len(kept_heads), manipulations)


def export(settings: Settings, out: TextIO) -> int:
    """Write the whole trail as lines of JSON for `verify_export`; return their number."""
    count = 0
    with closing(connect(settings)) as db:
        for count, line in enumerate(_lines(db), 1):  # noqa: B007 - the last count is returned
            out.write(json.dumps(_as_json(line), ensure_ascii=False) + "\n")
    return count


def verify_export(copy: TextIO, signatures: SignatureVerifier) -> Verification:
    """Verify a copy of the trail. Raises ValueError for a file that is none."""
    lines = [_line(json.loads(row)) for row in copy]
    return Verification(len(lines), 0, list(find_flaws(lines, (), signatures)))


def _lines(db: Connection) -> Iterator[Line]:
    with db.cursor("audit") as cursor:
        cursor.itersize = _FETCH_ROWS
        cursor.execute(f"SELECT {_COLUMNS} FROM public.audit ORDER BY line")  # noqa: S608 - ours
        for row in cursor:
            yield _of_row(row)


def _of_row(row: TupleRow) -> Line:
    line, at, *content, previous, digest, key_id, signature = row
    return Line(line, Entry(at, *content), bytes(previous), bytes(digest), key_id, bytes(signature))


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "line": line.line,
        **asdict(line.entry),
        "at": line.entry.at.astimezone(UTC).isoformat(),
        "previous": line.previous.hex(),
        "hash": line.hash.hex(),
        "key_id": line.key_id,
        "signature": line.signature.hex(),
    }


def _line(values: Mapping[str, Any]) -> Line:
    try:
        content = Entry(
            at=datetime.fromisoformat(values["at"]),
            **{name: values[name] for name in Entry.__dataclass_fields__ if name != "at"},
        )
        return Line(
            values["line"],
            content,
            bytes.fromhex(values["previous"]),
            bytes.fromhex(values["hash"]),
            values["key_id"],
            bytes.fromhex(values["signature"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no line of the trail: {error}") from error
