"""What tables hold that is to be sealed: faces in two columns each, and bytes in one."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage import face_columns, outbox
from sightline.storage.encryption import ID_BYTES, MARK, Ring, TamperedError, is_sealed
from sightline.storage.encryption_keys import PLAIN
from sightline.storage.face_columns import Place

Cursor = psycopg.Cursor[TupleRow]
Found = tuple[Any, str, bytes]
"""The key of a row, what it is sealed as, and what there is, sealed or not."""

log = logging.getLogger(__name__)


def of_pending(sighting: UUID | str) -> str:
    """What the picture of a sighting that waits for its person is sealed as."""
    return f"pending_snapshots/{sighting}/jpeg"


class Column(Protocol):
    """What a table holds that is to be sealed."""

    @property
    def table(self) -> str:
        """Whose column it is."""
        ...

    @property
    def key(self) -> str:
        """The column that tells its rows apart."""
        ...

    def sealed(self) -> sql.Composable:
        """The column of what is sealed."""
        ...

    def plain(self) -> sql.Composable:
        """The condition for what is not sealed."""
        ...

    def read(self, cursor: Cursor, rows: sql.Composable, keys: list[Any]) -> Iterator[Found]:
        """What there is in `rows`, "FROM table WHERE ...", of which the keys are parameters."""
        ...

    def write(self, cursor: Cursor, table: sql.Identifier, found: Found) -> None:
        """Write what was sealed in place of what there was."""
        ...


@dataclass(frozen=True, slots=True)
class Face:
    """A face: plain in one column, or sealed in the other."""

    place: Place

    @property
    def table(self) -> str:
        """Whose columns they are."""
        return self.place.table

    @property
    def key(self) -> str:
        """The column that tells its rows apart."""
        return self.place.key

    def sealed(self) -> sql.Composable:
        """The column of the sealed face."""
        return sql.Identifier(self.place.sealed)

    def plain(self) -> sql.Composable:
        """The condition for a plain face."""
        return sql.SQL("{} IS NOT NULL").format(sql.Identifier(self.place.plain))

    def read(self, cursor: Cursor, rows: sql.Composable, keys: list[Any]) -> Iterator[Found]:
        """The faces of rows; of a person's of before it is not known which track it was of."""
        query = sql.SQL("SELECT {key}, {known_as}, {plain}, {sealed} {rows}")
        with cursor.connection.cursor(binary=True) as reader:
            reader.execute(query.format(rows=rows, **self._words()), (keys,))
            found = reader.fetchall()
        for row, known_as, plain, sealed in found:
            name = self.place.name(known_as or uuid4())
            yield row, name, sealed or plain.to_numpy().astype("<f4").tobytes()

    def write(self, cursor: Cursor, table: sql.Identifier, found: Found) -> None:
        """Write the sealed face, and no other."""
        row, name, sealed = found
        query = sql.SQL(
            "UPDATE {table} SET {plain} = NULL, {sealed} = %s, {known_as} = %s WHERE {key} = %s"
        )
        known_as = name.split("/")[1]
        cursor.execute(query.format(table=table, **self._words()), (sealed, known_as, row))

    def _words(self) -> dict[str, sql.Composable]:
        names = ("key", "known_as", "plain", "sealed")
        return {name: sql.Identifier(getattr(self.place, name)) for name in names}


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of one column, sealed or not."""

    table: str
    key: str
    column: str
    known_as: tuple[str, ...]
    name: Callable[..., str]

    def sealed(self) -> sql.Composable:
        """The column."""
        return sql.Identifier(self.column)

    def plain(self) -> sql.Composable:
        """The condition for bytes that do not begin as what is sealed."""
        return sql.SQL("substring({}, 1, {}) <> {}").format(self.sealed(), len(MARK), MARK)

    def read(self, cursor: Cursor, rows: sql.Composable, keys: list[Any]) -> Iterator[Found]:
        """The bytes of rows."""
        columns = sql.SQL(", ").join(map(sql.Identifier, (self.key, self.column, *self.known_as)))
        cursor.execute(sql.SQL("SELECT {} {}").format(columns, rows), (keys,))
        for row, data, *known_as in cursor.fetchall():
            yield row, self.name(*known_as), data

    def write(self, cursor: Cursor, table: sql.Identifier, found: Found) -> None:
        """Write the sealed bytes."""
        row, _name, sealed = found
        query = sql.SQL("UPDATE {} SET {} = %s WHERE {} = %s")
        cursor.execute(query.format(table, self.sealed(), sql.Identifier(self.key)), (sealed, row))


FACES = tuple(map(Face, (face_columns.TEMPLATES, face_columns.TRACKS, face_columns.PERSONS)))

COLUMNS: tuple[Column, ...] = (
    *FACES,
    Bytes(
        "pending_snapshots", "sighting_id", "jpeg", ("sighting_id",), of_pending
    ),
    Bytes(
        "outbox", "id", "value", ("topic", "key"),
        lambda topic, key: outbox.name_of(topic, key.decode()),
    ),
)  # fmt: skip


def count_keys(
    db: psycopg.Connection[Any], column: Column, table: tuple[str, str]
) -> Iterator[tuple[str, int]]:
    """With which keys how many rows of a table are sealed; `PLAIN` stands for none."""
    query = sql.SQL(
        "SELECT CASE WHEN {plain} THEN {word}"
        " ELSE encode(substring({sealed}, {first}, {size}), 'hex') END, count(*)"
        " FROM {table} WHERE {plain} OR {sealed} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).format(
        plain=column.plain(), word=PLAIN, sealed=column.sealed(), first=len(MARK) + 1,
        size=ID_BYTES, table=sql.Identifier(*table),
    )  # fmt: skip
    yield from db.execute(query)


def stale(ring: Ring, column: Column, table: sql.Identifier) -> sql.Composable:
    """`FROM table WHERE ...`: the rows that the ring's key of now has not sealed."""
    head = MARK + ring.current
    return sql.SQL("FROM {} WHERE ({} OR substring({}, 1, {}) <> {})").format(
        table, column.plain(), column.sealed(), len(head), head
    )


def seal(
    cursor: Cursor, ring: Ring, column: Column, table: sql.Identifier, keys: list[Any]
) -> list[str]:
    """Seal the stale ones among rows, in the caller's transaction; what does not open.

    Raises MissingKeyError for what is sealed with a key that is not in the ring.
    """
    chosen = sql.SQL("{} AND {} = ANY(%s) FOR UPDATE").format(
        stale(ring, column, table), sql.Identifier(column.key)
    )
    refused: list[str] = []
    for row, name, data in column.read(cursor, chosen, keys):
        try:
            plain = ring.open(data, name) if is_sealed(data) else data
        except TamperedError as error:
            log.warning("encryption: left as it is: %s", error)
            refused.append(name)
        else:
            column.write(cursor, table, (row, name, ring.seal(plain, name)))
    return refused
