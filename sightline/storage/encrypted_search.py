"""Search among encrypted templates: decrypted once for each process, compared exhaustively.

No index can search encrypted templates. Decrypted ones are cached by their id and the head of the
encrypted bytes, which is never the same twice: each search reads all ids and heads, and decrypts
the templates that are new.
"""

import logging
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql

from sightline.storage import face_columns
from sightline.storage.db import encryption_of
from sightline.storage.encryption import HEAD_BYTES, OVERHEAD, TamperedError
from sightline.storage.face_columns import Embedding, TemplateColumns

log = logging.getLogger(__name__)

_BATCH_ROWS = 5000

TemplateKey = tuple[UUID, bytes]
"""Id of a template, and the head of its encrypted bytes."""


_HEADS = """
SELECT {owner}, {context_column}, substring({encrypted_column}, 1, {head}), {matches} FROM {table}
WHERE {pack} = %(pack)s AND octet_length({encrypted_column}) = %(size)s
"""

_ENCRYPTED = (
    "SELECT {context_column}, {encrypted_column} FROM {table} WHERE {context_column} = ANY(%s)"
)


class _Cache:
    """Cache of the decrypted templates of a table, model pack and dimension."""

    def __init__(self, dimension: int) -> None:
        self.lock = Lock()
        self._rows: dict[TemplateKey, int] = {}
        self._matrix = np.empty((0, dimension), np.float32)

    def cosines(self, query: Embedding, keys: Sequence[TemplateKey]) -> Embedding:
        """Return the cosines (n,) to a query (d,) of unit length; -inf for templates not cached."""
        rows = np.array([self._rows.get(key, -1) for key in keys], np.int64)
        all_cosines = np.append(self._matrix @ query, np.float32(-np.inf))
        return np.asarray(all_cosines[rows], np.float32)

    def missing(self, keys: Sequence[TemplateKey]) -> set[TemplateKey]:
        """Return the keys that are not cached."""
        return set(keys) - self._rows.keys()

    def add(self, templates: Mapping[TemplateKey, Embedding]) -> None:
        """Cache templates (d,)."""
        first = len(self._matrix)
        self._rows |= {key: first + number for number, key in enumerate(templates)}
        self._matrix = np.concatenate([self._matrix, np.stack(list(templates.values()))])

    def keep(self, keys: Sequence[TemplateKey]) -> None:
        """Drop templates whose rows are gone, once they are half of the cache."""
        if len(self._matrix) <= 2 * len(keys) + _BATCH_ROWS:
            return
        cached = [key for key in dict.fromkeys(keys) if key in self._rows]
        self._matrix = self._matrix[[self._rows[key] for key in cached]]
        self._rows = {key: number for number, key in enumerate(cached)}


_caches: dict[tuple[str, str, str, int], _Cache] = {}
_lock = Lock()


def nearest(
    cursor: psycopg.Cursor[Any],
    columns: TemplateColumns,
    pack: str,
    query: Embedding,
    count: int,
    where: sql.Composable | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> list[tuple[Any, float]]:
    """Return the owners of the encrypted templates nearest to a query (d,), and their cosines.

    Best first. `where` is a condition on the rows, with `parameters`. An owner of
    several templates may be returned several times. A template that cannot be decrypted is left
    out, and counted.
    """
    size = OVERHEAD + 4 * len(query)
    with cursor.connection.cursor(binary=True) as reader:
        rows = reader.execute(
            sql.SQL(_HEADS).format(matches=where or sql.SQL("true"), **_identifiers(columns)),
            {**(parameters or {}), "pack": pack, "size": size},
        ).fetchall()
        if not rows:
            return []
        keys = [(row[1], row[2]) for row in rows]
        cache = _cache_of(cursor, columns, pack, len(query))
        with cache.lock:
            _fill(reader, columns, cache, keys)
            cosines = cache.cosines(np.asarray(query / np.linalg.norm(query), np.float32), keys)
            cache.keep(keys)
    is_match = np.array([row[3] for row in rows], bool)
    cosines[~is_match] = -np.inf
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(rows[at][0], float(cosines[at])) for at in best if np.isfinite(cosines[at])]


def _cache_of(
    cursor: psycopg.Cursor[Any], place: TemplateColumns, pack: str, dimension: int
) -> _Cache:
    name = (cursor.connection.info.dsn, place.table, pack, dimension)
    with _lock:
        return _caches.setdefault(name, _Cache(dimension))


def _fill(
    reader: psycopg.Cursor[Any], place: TemplateColumns, cache: _Cache, keys: Sequence[TemplateKey]
) -> None:
    missing_ids = [row_id for row_id, _head in cache.missing(keys)]
    query = sql.SQL(_ENCRYPTED).format(**_identifiers(place))
    for first in range(0, len(missing_ids), _BATCH_ROWS):
        rows = reader.execute(query, (missing_ids[first : first + _BATCH_ROWS],)).fetchall()
        vectors = {
            (row_id, encrypted[:HEAD_BYTES]): face / np.linalg.norm(face)
            for row_id, encrypted in rows
            if encrypted
            and (face := _decrypted(reader, encrypted, place.context_of(row_id))) is not None
        }
        if vectors:
            cache.add(vectors)


def _decrypted(reader: psycopg.Cursor[Any], encrypted: bytes, name: str) -> Embedding | None:
    try:
        return face_columns.embedding_from_bytes(encryption_of(reader).decrypt(encrypted, name))
    except TamperedError as error:
        log.warning("search: left out: %s", error)
        return None


def _identifiers(place: TemplateColumns) -> dict[str, sql.Composable]:
    names = ("table", "owner", "context_column", "pack", "encrypted_column")
    identifiers: dict[str, sql.Composable] = {
        name: sql.Identifier(getattr(place, name)) for name in names
    }
    return identifiers | {"head": sql.Literal(HEAD_BYTES)}
