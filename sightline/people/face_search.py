"""Search of all tracks and persons of all time by an embedding.

The index yields the nearest rows; scores are cosines of the stored vectors themselves. A filter
that few rows pass is searched without the index, which would stop before it reaches them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.rows import dict_row

from sightline.runtime.display_zone import DisplayZone
from sightline.runtime.errors import SightlineError
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.camera_names import id_of
from sightline.storage.db import Connection, Cursor, encryption_of

_EXTRA_ROWS = 20
"""Rows read beyond the limit: half precision may order the last ones differently."""

_EXACT_ROWS = 50_000
"""Filtered tracks up to which all are compared, which takes tenths of a second."""

_STATEMENT_TIMEOUT_SECONDS = 60
"""A longer statement is cancelled: it reads a whole large table."""

_FILTERS = {
    "since": sql.SQL("last_seen >= %(since)s"),
    "until": sql.SQL("first_seen < %(until)s"),
    "camera": sql.SQL("camera_id = %(camera)s"),
}

_BY_INDEX = """
SELECT track_uuid, {vector} <=> %(vector)s AS cosine_distance
FROM {table} JOIN person_tracks USING (track_uuid)
WHERE {indexed} AND {where}
ORDER BY {distance} LIMIT %(rows)s
"""

# person_tracks has the vectors of track_faces, and no index of them.
_EXACT = """
SELECT track_uuid, embedding <=> %(vector)s AS cosine_distance FROM person_tracks
WHERE {where} AND pack = %(pack)s AND vector_dims(embedding) = %(dimension)s
ORDER BY cosine_distance LIMIT %(rows)s
"""

_PLAN = "EXPLAIN (FORMAT JSON) SELECT FROM person_tracks WHERE {where}"

_TRACKS = """
SELECT track.global_id, coalesce(employee.name, named.name, track.name, 'Unknown') AS name,
    employee.id AS person_id, track_uuid,
    camera_name(camera_id) AS camera_id, site_id, first_seen, track.last_seen,
    1 - cosine_distance AS score, face_quality,
    confidence,
    (SELECT snapshot_path FROM access_logs log
     WHERE log.track_uuid = track.track_uuid AND snapshot_path IS NOT NULL
     ORDER BY epoch DESC LIMIT 1) AS snapshot_path
FROM unnest(%(tracks)s::uuid[], %(distances)s::float8[]) AS near(track_uuid, cosine_distance)
JOIN person_tracks track USING (track_uuid)
LEFT JOIN employees employee ON employee.global_id = track.global_id
LEFT JOIN person_names named ON named.global_id = track.global_id
WHERE 1 - cosine_distance >= %(min_score)s
ORDER BY cosine_distance, track_uuid LIMIT %(limit)s
"""

_PERSONS = """
WITH near AS MATERIALIZED (
    SELECT global_id, {vector} <=> %(vector)s AS cosine_distance
    FROM {table} WHERE {indexed} ORDER BY {distance} LIMIT %(rows)s
)
SELECT global_id, 1 - cosine_distance FROM near WHERE 1 - cosine_distance >= %(min_score)s
ORDER BY cosine_distance, global_id LIMIT %(limit)s
"""

_DIMENSIONS = """
(SELECT face_dimension(embedding, embedding_sealed) FROM face_templates
 WHERE pack = %(pack)s LIMIT 1)
UNION (SELECT face_dimension(embedding, embedding_sealed) FROM person_tracks
 WHERE pack = %(pack)s AND num_nonnulls(embedding, embedding_sealed) > 0 LIMIT 1)
"""


def search_tracks(
    db: Connection,
    pack: str,
    embedding: Sequence[float] | NDArray[np.floating],
    *,
    limit: int = 100,
    min_score: float = -1.0,
    since: datetime | None = None,
    until: datetime | None = None,
    camera: str | None = None,
    zone: DisplayZone | None = None,
) -> list[dict[str, Any]]:
    """Search tracks of enrolled and unknown persons by an embedding (d,).

    Returns at most `limit` tracks with a cosine of `min_score` or more, best first, as dicts with
    global_id, person_id, name, track_uuid, camera_id, site_id, first_seen, last_seen, score,
    face_quality, confidence, snapshot_path, and day, which is that of first_seen in `zone` (None is
    UTC). `since` and `until` bound the time of presence.

    If few tracks pass `since`, `until` and `camera`, the result is exact. Raises SightlineError
    for an invalid vector or one of another pack, and for a search that takes too long.
    """
    sql_parts, values = _parts_and_values("track_faces", pack, embedding, limit)
    camera_id = camera and (id_of(db, camera) or "")  # no track has an empty one
    filters = {"since": since, "until": until, "camera": camera_id}
    conditions = [_FILTERS[name] for name, value in filters.items() if value is not None]
    condition = sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
    values |= filters | {"min_score": min_score}
    with db.transaction(), db.cursor() as cursor, _bounded(cursor):
        near = _nearest_tracks(
            cursor, sql_parts | {"where": condition}, values, is_filtered=bool(conditions)
        )
        if encryption_of(cursor).is_on:
            query = values["vector"].to_numpy()
            encrypted = encrypted_search.nearest(
                cursor, face_columns.TRACKS, pack, query, limit, condition, values
            )
            near |= {track: 1 - cosine for track, cosine in encrypted}
        nearest = {"tracks": list(near), "distances": list(near.values())}
        with db.cursor(row_factory=dict_row) as details:
            rows = details.execute(_TRACKS, values | nearest).fetchall()
    if not rows:
        _check_dimension(db, pack, values)
    days = zone or DisplayZone(ZoneInfo("UTC"))
    return [row | {"day": days.local(row["first_seen"]).date()} for row in rows]


Near = dict[UUID, float]
"""Cosine distances by track."""


def _nearest_tracks(
    cursor: Cursor,
    sql_parts: dict[str, sql.Composable],
    values: dict[str, Any],
    *,
    is_filtered: bool,
) -> Near:
    """Return the nearest tracks, by the index or by comparing all tracks that pass the filters.

    The index is walked from near to far, and the walk could end before it reaches the few tracks
    that pass a narrow filter: those are compared one by one.
    """
    if is_filtered and _estimate(cursor, sql_parts["where"], values) <= _EXACT_ROWS:
        return _distances(cursor, _EXACT, sql_parts, values)
    vector_indexes.widen_search(cursor, values["rows"])
    near = _distances(cursor, _BY_INDEX, sql_parts, values)
    if is_filtered and len(near) < values["rows"]:
        return _distances(cursor, _EXACT, sql_parts, values)
    return near


def _distances(
    cursor: Cursor,
    query: LiteralString,
    sql_parts: dict[str, sql.Composable],
    values: dict[str, Any],
) -> Near:
    return dict(cursor.execute(sql.SQL(query).format(**sql_parts), values).fetchall())


def _estimate(cursor: Cursor, condition: sql.Composable, values: dict[str, Any]) -> int:
    """Return the planner's estimate of the number of tracks that meet a condition."""
    row = cursor.execute(sql.SQL(_PLAN).format(where=condition), values).fetchone()
    return int(row[0][0]["Plan"]["Plan Rows"]) if row else 0


@contextmanager
def _bounded(cursor: psycopg.Cursor[Any]) -> Iterator[None]:
    """Cancel statements that take too long, until the end of the transaction.

    Raises SightlineError for a cancelled statement.
    """
    limit = f"{_STATEMENT_TIMEOUT_SECONDS}s"
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", (limit,))
    try:
        yield
    except psycopg.errors.QueryCanceled as error:
        raise SightlineError(
            f"the search took longer than {limit}: ask for one camera or a shorter time"
        ) from error


def search_persons(
    db: Connection,
    pack: str,
    embedding: Sequence[float] | NDArray[np.floating],
    *,
    threshold: float = 0.6,
    limit: int = 10,
) -> list[tuple[int, float]]:
    """Search `detected_persons` by an embedding (d,); return (global id, cosine) pairs.

    Best first, at most `limit` with `threshold` or more. Raises SightlineError as `search_tracks`.
    """
    sql_parts, values = _parts_and_values("person_faces", pack, embedding, limit)
    with db.transaction(), db.cursor() as cursor, _bounded(cursor):
        vector_indexes.widen_search(cursor, limit + _EXTRA_ROWS)
        statement = sql.SQL(_PERSONS).format(**sql_parts)
        rows = cursor.execute(statement, values | {"min_score": threshold}).fetchall()
        if encryption_of(cursor).is_on:
            query = values["vector"].to_numpy()
            near = encrypted_search.nearest(cursor, face_columns.PERSONS, pack, query, limit)
            rows += [(person, cosine) for person, cosine in near if cosine >= threshold]
            rows = sorted(rows, key=lambda row: (-row[1], row[0]))[:limit]
    if not rows:
        _check_dimension(db, pack, values)
    return [(int(person), float(score)) for person, score in rows]


def _parts_and_values(
    table: str, pack: str, vector: Sequence[float] | NDArray[np.floating], limit: int
) -> tuple[dict[str, sql.Composable], dict[str, Any]]:
    if limit < 1:
        raise SightlineError("the limit has to be 1 or more")
    query = _checked(vector)
    sql_parts = vector_indexes.distance_query(table, pack, len(query))
    values = {"pack": pack, "dimension": len(query), "vector": Vector(query), "limit": limit}
    return sql_parts, values | {"rows": limit + _EXTRA_ROWS}


def _check_dimension(db: Connection, pack: str, values: dict[str, Any]) -> None:
    """Raise SightlineError if the vector's dimension is not that of the pack's vectors."""
    dimension = values["vector"].dimensions()
    dimensions = {row[0] for row in db.execute(_DIMENSIONS, {"pack": pack})}
    if dimensions and dimension not in dimensions:
        raise SightlineError(
            f"the vector has {dimension} numbers; those of the pack {pack} have"
            f" {' or '.join(map(str, sorted(dimensions)))}"
        )


def _checked(vector: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float32]:
    """Normalise a vector (d,) to unit length. Raises SightlineError for an invalid one."""
    try:
        components = np.asarray(vector, np.float64)
    except (TypeError, ValueError):
        raise SightlineError("a vector is a list of numbers") from None
    if components.ndim != 1 or not 1 <= len(components) <= vector_indexes.MAX_INDEXED_DIMENSION:
        raise SightlineError(
            f"a vector is a list of 1 to {vector_indexes.MAX_INDEXED_DIMENSION} numbers"
        )
    if not np.isfinite(components).all():
        raise SightlineError("the vector has numbers in it that are not finite")
    largest = float(np.abs(components).max())
    if largest < np.finfo(np.float32).tiny:
        raise SightlineError("the vector is zero")
    components = components / largest  # squares of large numbers overflow
    return np.asarray(components / np.linalg.norm(components), np.float32)
