"""Re-encryption of stored embeddings and objects, plain or of older keys, with the current key.

It can be stopped and repeated: data of the current key are skipped.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from schemas.naming import object_context
from sightline.people import employees, identity_corrections
from sightline.people.encrypted_columns import (
    COLUMNS,
    Column,
    count_keys,
    encrypt_rows,
    outdated_rows,
)
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import encryption_keys, vector_indexes
from sightline.storage.db import Connection, connect
from sightline.storage.encryption import Encryption, KeyRing, TamperedError, is_encrypted, key_id_of
from sightline.storage.objects import NoSuchObjectError, ObjectStore, open_raw_store

T = TypeVar("T")
Progress = Callable[[str], None]
"""Callback with the table or store that is processed next."""

log = logging.getLogger(__name__)

OBJECTS = "objects"

_BATCH_ROWS = 500
_BATCH_OBJECTS = 20

_COPIES = ("track_faces", "person_faces")
"""Tables that copy plain embeddings for their vector index alone."""

_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_name = ANY(%s) AND table_type = 'BASE TABLE' ORDER BY table_schema, table_name
"""

# Samples that ANALYZE took of columns; ANALYZE of an empty table would leave them.
_CLEAR_SAMPLES = """
SELECT pg_clear_attribute_stats(schemaname, tablename, attname, inherited)
FROM pg_stats WHERE tablename = ANY(%s)
"""
_DELETE_SAMPLES = """
DELETE FROM pg_catalog.pg_statistic USING pg_class
WHERE pg_class.oid = starelid AND relname = ANY(%s)
"""

_STALE_OBJECTS = "SELECT key FROM stale_objects WHERE key = ANY(%s) AND stale_at <= now()"


@dataclass(slots=True)
class ReEncryption:
    """Result of a re-encryption."""

    key: str
    """Id of the current key."""
    re_encrypted: Counter[str] = field(default_factory=Counter)
    """Number of re-encrypted rows by table, and of objects."""
    refused: list[str] = field(default_factory=list)
    """Data that could not be decrypted, and were left as they are."""
    unused_keys: list[str] = field(default_factory=list)
    """Ids of keys that are no longer in use."""


def re_encrypt(settings: Settings, progress: Progress = lambda _: None) -> ReEncryption:
    """Encrypt all data with the current key, and let PostgreSQL overwrite the old pages.

    Services may run meanwhile with the same keys. Raises SightlineError if encryption is off, and
    MissingKeyError for data of a key that is not set.
    """
    ring = Encryption(settings).key_ring()
    if ring is None:
        raise SightlineError(
            "encryption is off: set encryption.keys; `sightline encryption new-key` makes one"
        )
    with connect(settings, autocommit=True) as db:
        result = ReEncryption(ring.current.hex())
        for column in COLUMNS:
            for table in _tables(db, [column.table]):
                progress(".".join(table))
                _re_encrypt_rows(db, ring, column, table, result)
        progress(OBJECTS)
        _re_encrypt_objects(db, ring, open_raw_store(settings), result)
        other_keys = encryption_keys.used_keys(db) - {result.key}
        if other_keys:
            progress("VACUUM FULL")
            _overwrite_pages(db)
        if not result.refused:
            encryption_keys.unregister_keys(db, other_keys)
            result.unused_keys = sorted(other_keys - {encryption_keys.PLAINTEXT})
    return result


def count_by_key(settings: Settings) -> list[dict[str, Any]]:
    """Count stored rows and objects by key; return dicts of what, key, count."""
    counts: Counter[tuple[str, str]] = Counter()
    with connect(settings, autocommit=True) as db:
        for column in COLUMNS:
            for table in _tables(db, [column.table]):
                for key, count in count_keys(db, column, table):
                    counts[".".join(table), key] += count
    store = open_raw_store(settings)
    for key in store.keys(""):
        with suppress(NoSuchObjectError):
            data = store.get(key)
            counts[
                OBJECTS, key_id_of(data).hex() if is_encrypted(data) else encryption_keys.PLAINTEXT
            ] += 1
    return [
        {"what": label, "key": key, "count": count}
        for (label, key), count in sorted(counts.items())
    ]


def _re_encrypt_rows(
    db: Connection, ring: KeyRing, column: Column, table: tuple[str, str], result: ReEncryption
) -> None:
    identifier = sql.Identifier(*table)
    query = sql.SQL("SELECT {} {}").format(
        sql.Identifier(column.key), outdated_rows(ring, column, identifier)
    )
    for batch in _batches([row[0] for row in db.execute(query)], _BATCH_ROWS):
        encryption_keys.register_key(
            db, encryption_keys.PLAINTEXT
        )  # until the old pages have been overwritten
        with db.transaction(), db.cursor() as cursor:
            _lock_writers(cursor)
            refused = encrypt_rows(cursor, ring, column, identifier, list(batch))
        result.refused += refused
        result.re_encrypted[".".join(table)] += len(batch) - len(refused)


def _re_encrypt_objects(
    db: Connection, ring: KeyRing, store: ObjectStore, result: ReEncryption
) -> None:
    stale_keys = (key for key in store.keys("") if _is_stale(ring, store, key))
    for batch in _batches(list(stale_keys), _BATCH_OBJECTS):
        with db.transaction(), db.cursor() as cursor:
            _lock_writers(cursor)
            expired = {row[0] for row in cursor.execute(_STALE_OBJECTS, (list(batch),))}
            for key in batch:
                if key not in expired:
                    _re_encrypt_object(ring, store, key, result)


def _re_encrypt_object(ring: KeyRing, store: ObjectStore, key: str, result: ReEncryption) -> None:
    name = object_context(key)
    try:
        data = store.get(key)
        plain = ring.decrypt(data, name) if is_encrypted(data) else data
    except NoSuchObjectError:
        return  # deleted meanwhile
    except TamperedError as error:
        log.warning("encryption: left as it is: %s", error)
        result.refused.append(name)
        return
    store.put(key, ring.encrypt(plain, name))
    result.re_encrypted[OBJECTS] += 1


def _is_stale(ring: KeyRing, store: ObjectStore, key: str) -> bool:
    try:
        data = store.get(key)
    except NoSuchObjectError:
        return False
    return not is_encrypted(data) or key_id_of(data) != ring.current


def _lock_writers(cursor: psycopg.Cursor[Any]) -> None:
    """Lock out writers of decisions and pictures, and enrolments, until the transaction ends."""
    identity_corrections.lock_exclusive(cursor)
    employees.lock_enrolment(cursor)


def _overwrite_pages(db: Connection) -> None:
    """Rewrite all pages that may hold plain embeddings: of rows, indexes and statistics."""
    names = [*(column.table for column in COLUMNS), *_COPIES]
    vector_indexes.drop_indexes(db)  # they hold plain embeddings, and so do their samples
    is_18 = db.info.server_version >= 180_000
    with suppress(psycopg.errors.InsufficientPrivilege):  # an external server before 18
        db.execute(_CLEAR_SAMPLES if is_18 else _DELETE_SAMPLES, (names,))
    for table in _tables(db, names):
        db.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(*table)))
    db.execute("VACUUM FULL pg_catalog.pg_statistic")  # only warns without the privilege
    with suppress(psycopg.errors.InsufficientPrivilege):
        db.execute("CHECKPOINT")


def _tables(db: Connection, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (schema, table) of all tables of these names, those of runs and replaced rows too."""
    return [(row[0], row[1]) for row in db.execute(_TABLES, (list(names),))]


def _batches(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[first : first + size] for first in range(0, len(whole), size))
