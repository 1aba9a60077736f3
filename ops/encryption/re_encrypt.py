"""All that is stored, sealed with the key of now: what is plain, and what other keys have sealed.

Stopped and begun again it goes on with the rest: what is sealed with that key is left alone.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from sightline.people import employees, identity_corrections
from sightline.people.encrypted_columns import COLUMNS, Column, count_keys, seal, stale
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage import encryption_keys, vector_indexes
from sightline.storage.db import Connection, connect
from sightline.storage.encryption import (
    Ring,
    Sealing,
    TamperedError,
    is_sealed,
    key_of,
)
from sightline.storage.objects import NoSuchObjectError, ObjectStore, name_of, open_raw_store

T = TypeVar("T")
Progress = Callable[[str], None]
"""Is told what is looked at."""

log = logging.getLogger(__name__)

OBJECTS = "objects"

_ROWS_AT_ONCE = 500
_OBJECTS_AT_ONCE = 20

_COPIES = ("track_faces", "person_faces")
"""Tables that hold plain faces for their index alone."""

_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_name = ANY(%s) AND table_type = 'BASE TABLE' ORDER BY table_schema, table_name
"""

# What ANALYZE has sampled of columns; of an empty table it would leave that as it is.
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
class Resealed:
    """What was done."""

    key: str
    """The id of the key that all is sealed with now."""
    sealed: Counter[str] = field(default_factory=Counter)
    """How many rows of each table, and objects, were not."""
    refused: list[str] = field(default_factory=list)
    """What does not open, and was left as it is."""
    free: list[str] = field(default_factory=list)
    """Ids of keys that nothing is sealed with any more."""


def reseal(settings: Settings, progress: Progress = lambda _: None) -> Resealed:
    """Seal everything with the key of now, and have PostgreSQL write over what was there.

    Services may go on meanwhile, with the same keys. Raises SightlineError with encryption off,
    and MissingKeyError for what is sealed with a key that is not set.
    """
    ring = Sealing(settings).ring()
    if ring is None:
        raise SightlineError(
            "encryption is off: set encryption.keys; `sightline encryption new-key` makes one"
        )
    with connect(settings, autocommit=True) as db:
        done = Resealed(ring.current.hex())
        for column in COLUMNS:
            for table in _tables(db, [column.table]):
                progress(".".join(table))
                _reseal_rows(db, ring, column, table, done)
        progress(OBJECTS)
        _reseal_objects(db, ring, open_raw_store(settings), done)
        others = encryption_keys.used(db) - {done.key}
        if others:
            progress("VACUUM FULL")
            _write_over(db)
        if not done.refused:
            encryption_keys.forget(db, others)
            done.free = sorted(others - {encryption_keys.PLAIN})
    return done


def kept(settings: Settings) -> list[dict[str, Any]]:
    """How much of what is stored is sealed with which key: rows of what, key, count."""
    found: Counter[tuple[str, str]] = Counter()
    with connect(settings, autocommit=True) as db:
        for column in COLUMNS:
            for table in _tables(db, [column.table]):
                for key, count in count_keys(db, column, table):
                    found[".".join(table), key] += count
    store = open_raw_store(settings)
    for key in store.keys(""):
        with suppress(NoSuchObjectError):
            data = store.get(key)
            found[OBJECTS, key_of(data).hex() if is_sealed(data) else encryption_keys.PLAIN] += 1
    return [
        {"what": what, "key": key, "count": count} for (what, key), count in sorted(found.items())
    ]


def _reseal_rows(
    db: Connection, ring: Ring, column: Column, table: tuple[str, str], done: Resealed
) -> None:
    place = sql.Identifier(*table)
    query = sql.SQL("SELECT {} {}").format(sql.Identifier(column.key), stale(ring, column, place))
    for some in _pieces([row[0] for row in db.execute(query)], _ROWS_AT_ONCE):
        encryption_keys.note(
            db, encryption_keys.PLAIN
        )  # until what was there has been written over
        with db.transaction(), db.cursor() as cursor:
            _keep_others_away(cursor)
            refused = seal(cursor, ring, column, place, list(some))
        done.refused += refused
        done.sealed[".".join(table)] += len(some) - len(refused)


def _reseal_objects(db: Connection, ring: Ring, store: ObjectStore, done: Resealed) -> None:
    found = (key for key in store.keys("") if _is_stale(ring, store, key))
    for some in _pieces(list(found), _OBJECTS_AT_ONCE):
        with db.transaction(), db.cursor() as cursor:
            _keep_others_away(cursor)
            going = {row[0] for row in cursor.execute(_STALE_OBJECTS, (list(some),))}
            for key in some:
                if key not in going:
                    _reseal_object(ring, store, key, done)


def _reseal_object(ring: Ring, store: ObjectStore, key: str, done: Resealed) -> None:
    name = name_of(key)
    try:
        data = store.get(key)
        plain = ring.open(data, name) if is_sealed(data) else data
    except NoSuchObjectError:
        return  # deleted meanwhile
    except TamperedError as error:
        log.warning("encryption: left as it is: %s", error)
        done.refused.append(name)
        return
    store.put(key, ring.seal(plain, name))
    done.sealed[OBJECTS] += 1


def _is_stale(ring: Ring, store: ObjectStore, key: str) -> bool:
    try:
        data = store.get(key)
    except NoSuchObjectError:
        return False
    return not is_sealed(data) or key_of(data) != ring.current


def _keep_others_away(cursor: psycopg.Cursor[Any]) -> None:
    """Keep away who writes decisions and pictures, and who enrols, to the transaction's end."""
    identity_corrections.lock(cursor)
    employees.lock_enrolment(cursor)


def _write_over(db: Connection) -> None:
    """Have no page left with what was there: neither of rows, nor of indexes and statistics."""
    names = [*(column.table for column in COLUMNS), *_COPIES]
    vector_indexes.drop_indexes(db)  # of plain faces; what samples of them were for goes with them
    is_18 = db.info.server_version >= 180_000
    with suppress(psycopg.errors.InsufficientPrivilege):  # another's server before 18
        db.execute(_CLEAR_SAMPLES if is_18 else _DELETE_SAMPLES, (names,))
    for table in _tables(db, names):
        db.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}").format(sql.Identifier(*table)))
    db.execute("VACUUM FULL pg_catalog.pg_statistic")  # warns whoever may not
    with suppress(psycopg.errors.InsufficientPrivilege):
        db.execute("CHECKPOINT")


def _tables(db: Connection, names: Sequence[str]) -> list[tuple[str, str]]:
    """The tables that are called so, with their schemas: those of runs and replaced ones too."""
    return [(row[0], row[1]) for row in db.execute(_TABLES, (list(names),))]


def _pieces(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[first : first + size] for first in range(0, len(whole), size))
