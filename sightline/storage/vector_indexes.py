"""Indexes over stored vectors: one for each table, model pack and length.

Vectors of packs have different lengths and are never compared, so an index is partial, of half
precision (half the size; nothing is lost that its own approximation does not lose).
"""

import hashlib
import logging
from typing import Any

import psycopg
from psycopg import sql

from sightline.runtime.errors import SightlineError, first_line
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect

log = logging.getLogger(__name__)

LONGEST = 4000
"""Numbers in a vector that pgvector can index; longer ones are compared one by one."""

TABLES = {
    "face_templates": ("embedding", "pack"),
    # Those of person_tracks and detected_persons, whose rows change too often for an index.
    "track_faces": ("face", "face_pack"),
    "person_faces": ("face", "face_pack"),
}
"""Tables with vectors: the columns of the vector and of its pack."""

_MEMORY = "256MB"
"""A graph that does not fit is built many times slower; 100,000 vectors of 128 take 90 MB."""

_EF_SEARCH = 200
"""Candidates that a search of the graph keeps; see `make bench-match` for what it finds."""
_MOST_EF = 1000  # pgvector's limit

_MOST_VISITED = 40_000
"""Vectors that a search looks at until other conditions have left it enough: a second or two."""
_VISITED_MEMORY = 4
"""Memory for those, in `work_mem`."""

_AGAIN_SECONDS = 600.0

_LOCK = "sightline vector indexes"

_INDEXED = "{pack} = {value} AND vector_dims({vector}) = {dimension}"

_CREATE = f"""
CREATE INDEX CONCURRENTLY {{name}} ON {{table}}
USING hnsw (({{vector}}::halfvec({{dimension}})) halfvec_cosine_ops) WHERE {_INDEXED}
"""

_PACKS = """
SELECT DISTINCT {pack}, vector_dims({vector}) FROM {table}
WHERE {vector} IS NOT NULL AND {pack} IS NOT NULL
"""


def index_name(table: str, pack: str, dimension: int) -> str:
    """The name of an index; a pack's own name may be long, or hold anything."""
    digest = hashlib.sha256(pack.encode()).hexdigest()[:12]
    return f"{table}_near_{digest}_{dimension}"


def ensure_indexes(db: Connection, pack: str, dimension: int) -> None:
    """Make the indexes of a pack's vectors where they are missing. Writers go on meanwhile.

    `db` has to be in autocommit. Where another process is at it, nothing is done: it will be.
    """
    if not db.autocommit:
        raise AssertionError("an index cannot be made concurrently in a transaction")
    if dimension > LONGEST:
        return
    missing = [table for table in TABLES if not _is_there(db, index_name(table, pack, dimension))]
    if not missing:
        return
    # To wait for the lock would be to wait for one that waits for all who wait.
    row = db.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (_LOCK,)).fetchone()
    if row is None or not row[0]:
        return
    try:
        db.execute(sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(_MEMORY)))
        for table in missing:
            _create(db, table, pack, dimension)
    finally:
        db.execute("RESET maintenance_work_mem")
        db.execute("SELECT pg_advisory_unlock(hashtext(%s))", (_LOCK,))


def drop_indexes(db: Connection) -> None:
    """Drop the indexes of all packs; `keep_indexed` makes those that are missed."""
    for table in TABLES:
        found = db.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass(%s)"
            " AND indexrelid::regclass::text LIKE %s",
            (table, f"%{table}\\_near\\_%"),
        )
        for (name,) in found.fetchall():
            db.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.SQL(name)))


def ensure_all(db: Connection) -> None:
    """Make the indexes of every pack that has vectors. Reads the tables: not for a hot path."""
    packs: set[tuple[str, int]] = set()
    for table in TABLES:
        packs.update(db.execute(sql.SQL(_PACKS).format(**_names(table, "", 0))).fetchall())
    for pack, dimension in sorted(packs):
        ensure_indexes(db, pack, dimension)


def keep_indexed(settings: Settings, stop: Stop) -> None:
    """Until `stop`, see that no pack stays without its indexes: now, and every few minutes."""
    while True:
        try:
            with connect(settings, autocommit=True) as db:
                ensure_all(db)
        except (SightlineError, psycopg.Error) as error:
            log.warning("searches by face go on without their index: %s", first_line(error))
        if stop.wait(_AGAIN_SECONDS):
            return


def near(table: str, pack: str, dimension: int) -> dict[str, sql.Composable]:
    """Words of a query that an index serves: `distance` to %(vector)s to order by, `indexed`.

    Written out, not as parameters: a plan for any pack could not use the index of one. The query
    is to be executed with parameters.
    """
    names = _names(table, pack, dimension)
    names["value"] = sql.SQL(names["value"].as_string().replace("%", "%%"))
    distance = "{vector}::halfvec({dimension}) <=> %(vector)s::halfvec({dimension})"
    return names | {
        "distance": sql.SQL(distance).format(**names),
        "indexed": sql.SQL(_INDEXED).format(**names),
    }


def widen(cursor: psycopg.Cursor[Any], rows: int) -> None:
    """Until the end of the transaction look wide enough for so many rows, and on where another
    condition leaves too few of them: up to a limit, so that fewer may be found than there are."""
    cursor.execute(
        "SELECT set_config('hnsw.ef_search', %s, true),"
        " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
        " set_config('hnsw.max_scan_tuples', %s, true),"
        " set_config('hnsw.scan_mem_multiplier', %s, true)",
        (str(min(max(_EF_SEARCH, 2 * rows), _MOST_EF)), str(_MOST_VISITED), str(_VISITED_MEMORY)),
    )


def _create(db: Connection, table: str, pack: str, dimension: int) -> None:
    name = sql.Identifier(index_name(table, pack, dimension))
    # Where the process died that was making it.
    db.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    db.execute(sql.SQL(_CREATE).format(name=name, **_names(table, pack, dimension)))


def _is_there(db: Connection, name: str) -> bool:
    row = db.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
    ).fetchone()
    return row is not None and bool(row[0])


def _names(table: str, pack: str, dimension: int) -> dict[str, sql.Composable]:
    vector, owner = TABLES[table]
    return {
        "table": sql.Identifier(table),
        "vector": sql.Identifier(vector),
        "pack": sql.Identifier(owner),
        "value": sql.Literal(pack),
        "dimension": sql.Literal(dimension),
    }
