"""Has this person ever been here? A vector in; tracks, or people, that look like it out.

The index says what comes near; scores are cosines of the stored vectors themselves. A filter that
leaves few is searched without the index, which would give up before it met them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.rows import TupleRow, dict_row

from sightline.runtime.errors import SightlineError
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.db import Connection, sealing_of

_MARGIN = 20
"""Rows more than asked for: half precision may put the last ones in another order."""

_EXACT_ROWS = 50_000
"""Tracks that a filter leaves, up to which all of them are compared: tenths of a second."""

_LONGEST_SECONDS = 60
"""A statement of a search that takes longer is cancelled: one that reads a whole large table."""

_FILTERS = {
    "since": sql.SQL("last_seen >= %(since)s"),
    "until": sql.SQL("first_seen < %(until)s"),
    "camera": sql.SQL("camera_id = %(camera)s"),
}

_BY_INDEX = """
SELECT track_uuid, {vector} <=> %(vector)s AS away
FROM {table} JOIN person_tracks USING (track_uuid)
WHERE {indexed} AND {where}
ORDER BY {distance} LIMIT %(rows)s
"""

# person_tracks has the vectors of track_faces, and no index of them.
_EXACT = """
SELECT track_uuid, embedding <=> %(vector)s AS away FROM person_tracks
WHERE {where} AND pack = %(pack)s AND vector_dims(embedding) = %(dimension)s
ORDER BY away LIMIT %(rows)s
"""

_LEFT = "EXPLAIN (FORMAT JSON) SELECT FROM person_tracks WHERE {where}"

_TRACKS = """
SELECT track.global_id, coalesce(employee.name, given.name, track.name, 'Unknown') AS name,
    employee.id AS person_id, track_uuid, camera_id, site_id, first_seen, track.last_seen,
    (first_seen AT TIME ZONE 'UTC')::date AS day, 1 - away AS score, face_quality, confidence,
    (SELECT snapshot_path FROM access_logs log
     WHERE log.track_uuid = track.track_uuid AND snapshot_path IS NOT NULL
     ORDER BY epoch DESC LIMIT 1) AS snapshot_path
FROM unnest(%(tracks)s::uuid[], %(aways)s::float8[]) AS near(track_uuid, away)
JOIN person_tracks track USING (track_uuid)
LEFT JOIN employees employee ON employee.global_id = track.global_id
LEFT JOIN person_names given ON given.global_id = track.global_id
WHERE 1 - away >= %(min_score)s
ORDER BY away, track_uuid LIMIT %(limit)s
"""

_PERSONS = """
WITH near AS MATERIALIZED (
    SELECT global_id, {vector} <=> %(vector)s AS away
    FROM {table} WHERE {indexed} ORDER BY {distance} LIMIT %(rows)s
)
SELECT global_id, 1 - away FROM near WHERE 1 - away >= %(min_score)s
ORDER BY away, global_id LIMIT %(limit)s
"""

_LENGTHS = """
(SELECT face_dimension(embedding, embedding_sealed) FROM face_templates
 WHERE pack = %(pack)s LIMIT 1)
UNION (SELECT face_dimension(embedding, embedding_sealed) FROM person_tracks
 WHERE pack = %(pack)s AND num_nonnulls(embedding, embedding_sealed) > 0 LIMIT 1)
"""


def search_tracks(
    db: Connection,
    pack: str,
    vector: Sequence[float] | NDArray[np.floating],
    *,
    limit: int = 100,
    min_score: float = -1.0,
    since: datetime | None = None,
    until: datetime | None = None,
    camera: str | None = None,
) -> list[dict[str, Any]]:
    """The tracks of all time that look most like a vector, of people and unknown alike.

    Best first, at most `limit` with a cosine of `min_score` or more; as dicts with global_id,
    person_id, name, track_uuid, camera_id, site_id, first_seen, last_seen, day (UTC), score,
    face_quality, confidence, snapshot_path. `since` and `until` bound when they were here.

    Where `since`, `until` and `camera` leave few tracks the result is exact. Raises SightlineError
    for a vector that is none, or that is not of the pack, and for a search that takes too long.
    """
    words, given = _query("track_faces", pack, vector, limit)
    filters = {"since": since, "until": until, "camera": camera}
    conditions = [_FILTERS[name] for name, value in filters.items() if value is not None]
    where = sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true")
    given |= filters | {"min_score": min_score}
    with db.transaction(), db.cursor() as cursor, _bounded(cursor):
        near = _nearest_tracks(
            cursor, words | {"where": where}, given, is_filtered=bool(conditions)
        )
        if sealing_of(cursor).is_on:
            probe = given["vector"].to_numpy()
            sealed = encrypted_search.nearest(
                cursor, face_columns.TRACKS, pack, probe, limit, where, given
            )
            near |= {track: 1 - cosine for track, cosine in sealed}
        found = {"tracks": list(near), "aways": list(near.values())}
        with db.cursor(row_factory=dict_row) as details:
            rows = details.execute(_TRACKS, given | found).fetchall()
    if not rows:
        _check_length(db, pack, given)
    return rows


Near = dict[UUID, float]
"""The cosine distances of tracks."""


def _nearest_tracks(
    cursor: psycopg.Cursor[TupleRow],
    words: dict[str, sql.Composable],
    given: dict[str, Any],
    *,
    is_filtered: bool,
) -> Near:
    """The tracks that come nearest: by the index, which walks from near to far, or by comparing
    all that the filters leave, where they are so few that the walk could end before it met them."""
    if is_filtered and _estimate(cursor, words["where"], given) <= _EXACT_ROWS:
        return _found(cursor, _EXACT, words, given)
    vector_indexes.widen(cursor, given["rows"])
    near = _found(cursor, _BY_INDEX, words, given)
    if is_filtered and len(near) < given["rows"]:
        return _found(cursor, _EXACT, words, given)
    return near


def _found(
    cursor: psycopg.Cursor[TupleRow],
    query: LiteralString,
    words: dict[str, sql.Composable],
    given: dict[str, Any],
) -> Near:
    return dict(cursor.execute(sql.SQL(query).format(**words), given).fetchall())


def _estimate(
    cursor: psycopg.Cursor[TupleRow], where: sql.Composable, given: dict[str, Any]
) -> int:
    """About how many tracks meet a condition, as the planner takes it from its statistics."""
    row = cursor.execute(sql.SQL(_LEFT).format(where=where), given).fetchone()
    return int(row[0][0]["Plan"]["Plan Rows"]) if row else 0


@contextmanager
def _bounded(cursor: psycopg.Cursor[Any]) -> Iterator[None]:
    """Until the end of the transaction, cancel statements that take too long.

    Raises SightlineError for one that did.
    """
    limit = f"{_LONGEST_SECONDS}s"
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
    vector: Sequence[float] | NDArray[np.floating],
    *,
    threshold: float = 0.6,
    limit: int = 10,
) -> list[tuple[int, float]]:
    """The persons whose face in `detected_persons` is most like a vector: (global id, cosine).

    Best first, at most `limit` from `threshold` on. Raises SightlineError as `search_tracks`.
    """
    words, given = _query("person_faces", pack, vector, limit)
    with db.transaction(), db.cursor() as cursor, _bounded(cursor):
        vector_indexes.widen(cursor, limit + _MARGIN)
        query = sql.SQL(_PERSONS).format(**words)
        rows = cursor.execute(query, given | {"min_score": threshold}).fetchall()
        if sealing_of(cursor).is_on:
            probe = given["vector"].to_numpy()
            near = encrypted_search.nearest(cursor, face_columns.PERSONS, pack, probe, limit)
            rows += [(person, cosine) for person, cosine in near if cosine >= threshold]
            rows = sorted(rows, key=lambda row: (-row[1], row[0]))[:limit]
    if not rows:
        _check_length(db, pack, given)
    return [(int(person), float(score)) for person, score in rows]


def _query(
    table: str, pack: str, vector: Sequence[float] | NDArray[np.floating], limit: int
) -> tuple[dict[str, sql.Composable], dict[str, Any]]:
    if limit < 1:
        raise SightlineError("the limit has to be 1 or more")
    probe = _checked(vector)
    words = vector_indexes.near(table, pack, len(probe))
    given = {"pack": pack, "dimension": len(probe), "vector": Vector(probe), "limit": limit}
    return words, given | {"rows": limit + _MARGIN}


def _check_length(db: Connection, pack: str, given: dict[str, Any]) -> None:
    """Raise SightlineError where nothing was found because the vector is not of the pack."""
    length = given["vector"].dimensions()
    lengths = {row[0] for row in db.execute(_LENGTHS, {"pack": pack})}
    if lengths and length not in lengths:
        raise SightlineError(
            f"the vector has {length} numbers; those of the pack {pack} have"
            f" {' or '.join(map(str, sorted(lengths)))}"
        )


def _checked(vector: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float32]:
    """(d,), unit length. Raises SightlineError where that cannot be."""
    try:
        numbers = np.asarray(vector, np.float64)
    except (TypeError, ValueError):
        raise SightlineError("a vector is a list of numbers") from None
    if numbers.ndim != 1 or not 1 <= len(numbers) <= vector_indexes.LONGEST:
        raise SightlineError(f"a vector is a list of 1 to {vector_indexes.LONGEST} numbers")
    if not np.isfinite(numbers).all():
        raise SightlineError("the vector has numbers in it that are not finite")
    largest = float(np.abs(numbers).max())
    if largest < np.finfo(np.float32).tiny:
        raise SightlineError("the vector is zero: it looks like nobody")
    numbers = numbers / largest  # squares of large numbers overflow
    return np.asarray(numbers / np.linalg.norm(numbers), np.float32)
