"""Encrypted columns of tables: embeddings in two columns each, and bytes in one."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from schemas.naming import context_row, outbox_context, pending_snapshot_context
from sightline.storage import face_columns
from sightline.storage.db import Cursor
from sightline.storage.encryption import ID_BYTES, MARK, KeyRing, TamperedError, is_encrypted
from sightline.storage.encryption_keys import PLAINTEXT
from sightline.storage.face_columns import TemplateColumns

StoredValue = tuple[Any, str, bytes]
"""Key of a row, encryption context of its value, and the value, encrypted or plain."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddingColumns:
    """An embedding, plain in one column or encrypted in another."""

    columns: TemplateColumns

    @property
    def table(self) -> str:
        """Table of the columns."""
        return self.columns.table

    @property
    def key(self) -> str:
        """Primary key of the table."""
        return self.columns.key

    def encrypted(self) -> sql.Composable:
        """Return the column of the encrypted embedding."""
        return sql.Identifier(self.columns.encrypted_column)

    def plaintext(self) -> sql.Composable:
        """Return the condition of a plain embedding."""
        return sql.SQL("{} IS NOT NULL").format(sql.Identifier(self.columns.vector_column))

    def read(self, cursor: Cursor, rows: sql.Composable, keys: list[Any]) -> Iterator[StoredValue]:
        """Yield the embeddings of rows; a row without a track gets a new context."""
        query = sql.SQL(
            "SELECT {key}, {context_column}, {vector_column}, {encrypted_column} {rows}"
        )
        with cursor.connection.cursor(binary=True) as reader:
            reader.execute(query.format(rows=rows, **self._identifiers()), (keys,))
            values = reader.fetchall()
        for row, context_id, plain, encrypted in values:
            name = self.columns.context_of(context_id or uuid4())
            yield row, name, encrypted or plain.to_numpy().astype("<f4").tobytes()

    def write(self, cursor: Cursor, table: sql.Identifier, value: StoredValue) -> None:
        """Write the encrypted embedding and delete the plain one."""
        row, name, encrypted = value
        query = sql.SQL(
            "UPDATE {table} SET {vector_column} = NULL, {encrypted_column} = %s,"
            " {context_column} = %s WHERE {key} = %s"
        )
        context_id = context_row(name)
        cursor.execute(
            query.format(table=table, **self._identifiers()), (encrypted, context_id, row)
        )

    def _identifiers(self) -> dict[str, sql.Composable]:
        names = ("key", "context_column", "vector_column", "encrypted_column")
        return {name: sql.Identifier(getattr(self.columns, name)) for name in names}


@dataclass(frozen=True, slots=True)
class BytesColumn:
    """Bytes in a single column, encrypted or plain."""

    table: str
    key: str
    column: str
    context_column: tuple[str, ...]
    context_of: Callable[..., str]

    def encrypted(self) -> sql.Composable:
        """Return the column."""
        return sql.Identifier(self.column)

    def plaintext(self) -> sql.Composable:
        """Return the condition of bytes without the mark of encrypted data."""
        return sql.SQL("substring({}, 1, {}) <> {}").format(self.encrypted(), len(MARK), MARK)

    def read(self, cursor: Cursor, rows: sql.Composable, keys: list[Any]) -> Iterator[StoredValue]:
        """Yield the bytes of rows."""
        columns = sql.SQL(", ").join(
            map(sql.Identifier, (self.key, self.column, *self.context_column))
        )
        cursor.execute(sql.SQL("SELECT {} {}").format(columns, rows), (keys,))
        for row, data, *context_id in cursor.fetchall():
            yield row, self.context_of(*context_id), data

    def write(self, cursor: Cursor, table: sql.Identifier, value: StoredValue) -> None:
        """Write the encrypted bytes."""
        row, _name, encrypted = value
        query = sql.SQL("UPDATE {} SET {} = %s WHERE {} = %s")
        cursor.execute(
            query.format(table, self.encrypted(), sql.Identifier(self.key)), (encrypted, row)
        )


Column = EmbeddingColumns | BytesColumn
"""A column whose values are encrypted."""

FACES = tuple(
    map(EmbeddingColumns, (face_columns.TEMPLATES, face_columns.TRACKS, face_columns.PERSONS))
)

COLUMNS: tuple[Column, ...] = (
    *FACES,
    BytesColumn(
        "pending_snapshots", "sighting_id", "jpeg", ("sighting_id",), pending_snapshot_context
    ),
    BytesColumn(
        "outbox", "id", "value", ("topic", "key"),
        lambda topic, key: outbox_context(topic, key.decode()),
    ),
)  # fmt: skip


def count_keys(
    db: psycopg.Connection[Any], column: Column, table: tuple[str, str]
) -> Iterator[tuple[str, int]]:
    """Yield (key id, number of rows) of a table; `PLAIN` stands for no key."""
    query = sql.SQL(
        "SELECT CASE WHEN {plain} THEN {word}"
        " ELSE encode(substring({encrypted_column}, {first}, {size}), 'hex') END, count(*)"
        " FROM {table} WHERE {plain} OR {encrypted_column} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).format(
        plain=column.plaintext(), word=PLAINTEXT, encrypted_column=column.encrypted(),
        first=len(MARK) + 1, size=ID_BYTES, table=sql.Identifier(*table),
    )  # fmt: skip
    yield from db.execute(query)


def outdated_rows(ring: KeyRing, column: Column, table: sql.Identifier) -> sql.Composable:
    """Return `FROM table WHERE ...` of the rows not encrypted with the ring's current key."""
    head = MARK + ring.current
    return sql.SQL("FROM {} WHERE ({} OR substring({}, 1, {}) <> {})").format(
        table, column.plaintext(), column.encrypted(), len(head), head
    )


def encrypt_rows(
    cursor: Cursor, ring: KeyRing, column: Column, table: sql.Identifier, keys: list[Any]
) -> list[str]:
    """Encrypt rows with the current key in the caller's transaction; return undecryptable ones.

    Raises MissingKeyError for a value whose key is not in the ring.
    """
    chosen = sql.SQL("{} AND {} = ANY(%s) FOR UPDATE").format(
        outdated_rows(ring, column, table), sql.Identifier(column.key)
    )
    refused: list[str] = []
    for row, name, data in column.read(cursor, chosen, keys):
        try:
            plain = ring.decrypt(data, name) if is_encrypted(data) else data
        except TamperedError as error:
            log.warning("encryption: left as it is: %s", error)
            refused.append(name)
        else:
            column.write(cursor, table, (row, name, ring.encrypt(plain, name)))
    return refused
