"""HNSW indexes over stored templates: one for each table, model pack and dimension.

Templates of different packs are never compared, so an index is partial. It has half precision:
half the size, and a loss that is smaller than that of the index's own approximation.
"""

import hashlib
import logging
from typing import Any

import psycopg
from psycopg import sql

from schemas.naming import AdvisoryLock
from sightline.runtime.errors import SightlineError, first_line
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect

log = logging.getLogger(__name__)

MAX_INDEXED_DIMENSION = 4000
"""Dimension that pgvector can index; longer vectors are compared exhaustively."""

TABLES = {
    "face_templates": ("embedding", "pack"),
    # Copies of person_tracks and detected_persons, whose rows change too often for an index.
    "track_faces": ("face", "face_pack"),
    "person_faces": ("face", "face_pack"),
}
"""Tables with templates: the columns of the vector and of its pack."""

_BUILD_MEMORY = "256MB"
"""A graph that does not fit is built many times slower; 100,000 vectors (128,) take 90 MB."""

_EF_SEARCH = 200
"""Candidates that a search of the graph keeps; `make bench-match` measures the recall."""
_MAX_EF_SEARCH = 1000  # pgvector's limit

_MAX_SCAN_TUPLES = 40_000
"""Vectors that a search with further conditions visits at most, in a second or two."""
_SCAN_MEMORY_MULTIPLIER = 4
"""Memory of such a search, in `work_mem`."""

_CHECK_SECONDS = 600.0

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
    """Return the name of an index; the pack is hashed, as its id may be long or have any letter."""
    digest = hashlib.sha256(pack.encode()).hexdigest()[:12]
    return f"{table}_near_{digest}_{dimension}"


def ensure_indexes(db: Connection, pack: str, dimension: int) -> None:
    """Create the missing indexes of a pack's templates, without blocking writers.

    `db` has to be in autocommit. Does nothing while another process creates them.
    """
    if not db.autocommit:
        raise AssertionError("an index cannot be made concurrently in a transaction")
    if dimension > MAX_INDEXED_DIMENSION:
        return
    missing = [table for table in TABLES if not _is_valid(db, index_name(table, pack, dimension))]
    if not missing:
        return
    # Waiting for the lock would deadlock: CREATE INDEX CONCURRENTLY, which its holder runs, waits
    # for all older transactions, this one among them.
    row = db.execute("SELECT pg_try_advisory_lock(%s)", (AdvisoryLock.VECTOR_INDEXES,)).fetchone()
    if row is None or not row[0]:
        return
    try:
        db.execute(sql.SQL("SET maintenance_work_mem = {}").format(sql.Literal(_BUILD_MEMORY)))
        for table in missing:
            _create(db, table, pack, dimension)
    finally:
        db.execute("RESET maintenance_work_mem")
        db.execute("SELECT pg_advisory_unlock(%s)", (AdvisoryLock.VECTOR_INDEXES,))


def drop_indexes(db: Connection) -> None:
    """Drop the indexes of all packs; `watch_indexes` creates those of present packs again."""
    for table in TABLES:
        rows = db.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = to_regclass(%s)"
            " AND indexrelid::regclass::text LIKE %s",
            (table, f"%{table}\\_near\\_%"),
        )
        for (name,) in rows.fetchall():
            db.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.SQL(name)))


def ensure_all(db: Connection) -> None:
    """Create the missing indexes of all packs. It reads whole tables: not for a hot path."""
    packs: set[tuple[str, int]] = set()
    for table in TABLES:
        packs.update(db.execute(sql.SQL(_PACKS).format(**_names(table, "", 0))).fetchall())
    for pack, dimension in sorted(packs):
        ensure_indexes(db, pack, dimension)


def watch_indexes(settings: Settings, stop: Stop) -> None:
    """Create missing indexes now and every few minutes until `stop`."""
    while True:
        try:
            with connect(settings, autocommit=True) as db:
                ensure_all(db)
        except (SightlineError, psycopg.Error) as error:
            log.warning("searches by face go on without their index: %s", first_line(error))
        if stop.wait(_CHECK_SECONDS):
            return


def distance_query(table: str, pack: str, dimension: int) -> dict[str, sql.Composable]:
    """Return the SQL of a query that an index serves: `distance` to %(vector)s, and `indexed`.

    The pack is a literal, not a parameter, because a plan for any pack could not use a partial
    index. The query is to be executed with parameters.
    """
    names = _names(table, pack, dimension)
    names["value"] = sql.SQL(names["value"].as_string().replace("%", "%%"))
    distance = "{vector}::halfvec({dimension}) <=> %(vector)s::halfvec({dimension})"
    return names | {
        "distance": sql.SQL(distance).format(**names),
        "indexed": sql.SQL(_INDEXED).format(**names),
    }


def widen_search(cursor: psycopg.Cursor[Any], rows: int) -> None:
    """Widen the searches of the transaction so that they return `rows` rows.

    A search goes on while further conditions leave too few rows, up to a limit, so that it may
    return fewer rows than match.
    """
    ef_search = min(max(_EF_SEARCH, 2 * rows), _MAX_EF_SEARCH)
    cursor.execute(
        "SELECT set_config('hnsw.ef_search', %s, true),"
        " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
        " set_config('hnsw.max_scan_tuples', %s, true),"
        " set_config('hnsw.scan_mem_multiplier', %s, true)",
        (str(ef_search), str(_MAX_SCAN_TUPLES), str(_SCAN_MEMORY_MULTIPLIER)),
    )


def _create(db: Connection, table: str, pack: str, dimension: int) -> None:
    name = sql.Identifier(index_name(table, pack, dimension))
    # A process that died while it created the index has left an invalid one.
    db.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
    db.execute(sql.SQL(_CREATE).format(name=name, **_names(table, pack, dimension)))


def _is_valid(db: Connection, name: str) -> bool:
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
