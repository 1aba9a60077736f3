"""Has this person ever been here? A vector in; tracks, or people, that look like it out.

The index says what comes near; scores are cosines of the stored vectors themselves.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from psycopg.rows import dict_row

from sightline.errors import SightlineError
from sightline.store import faces, near_sealed, vectors
from sightline.store.db import Connection, sealing_of

_MARGIN = 20
"""Rows more than asked for: half precision may put the last ones in another order."""

_WHERE = """
    (%(since)s::timestamptz IS NULL OR last_seen >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR first_seen < %(until)s)
    AND (%(camera)s::text IS NULL OR camera_id = %(camera)s)
"""

_SEEN = """track_uuid, camera_id, site_id, global_id, person_id, name, first_seen, last_seen,
        pack, face_quality, confidence"""

_NEAR = f"""
    SELECT {_SEEN}, {{vector}} <=> %(vector)s AS away
    FROM {{table}} JOIN person_tracks USING (track_uuid)
    WHERE {{indexed}} AND {_WHERE}
    ORDER BY {{distance}} LIMIT %(rows)s
"""  # noqa: S608 - our own words

_NEAR_SEALED = f"""
    SELECT {_SEEN}, away
    FROM unnest(%(tracks)s::uuid[], %(aways)s::float8[]) AS near(track_uuid, away)
    JOIN person_tracks USING (track_uuid)
"""  # noqa: S608 - our own words

_TRACKS = """
WITH near AS MATERIALIZED ({near})
SELECT near.global_id, coalesce(employee.name, given.name, near.name, 'Unknown') AS name,
    employee.id AS person_id, track_uuid, camera_id, site_id, first_seen, near.last_seen,
    (first_seen AT TIME ZONE 'UTC')::date AS day, 1 - away AS score, face_quality, confidence,
    (SELECT snapshot_path FROM access_logs log
     WHERE log.track_uuid = near.track_uuid AND snapshot_path IS NOT NULL
     ORDER BY epoch DESC LIMIT 1) AS snapshot_path
FROM near
LEFT JOIN employees employee ON employee.global_id = near.global_id
LEFT JOIN person_names given ON given.global_id = near.global_id
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

    Raises SightlineError for a vector that is none, or that is not of the pack.
    """
    asked = {"since": since, "until": until, "camera": camera, "min_score": min_score}
    words, given = _query("track_faces", pack, vector, limit)
    given |= asked
    with db.transaction(), db.cursor(row_factory=dict_row) as cursor:
        vectors.widen(cursor, limit + _MARGIN)
        near = sql.SQL(_NEAR).format(**words)
        rows = cursor.execute(sql.SQL(_TRACKS).format(near=near), given).fetchall()
        if sealing_of(cursor).is_on:
            rows += _sealed_tracks(cursor, pack, given)
            rows = sorted(rows, key=lambda row: (-row["score"], row["track_uuid"]))[:limit]
    if not rows:
        _check_length(db, pack, given)
    return rows


def _sealed_tracks(
    cursor: psycopg.Cursor[dict[str, Any]], pack: str, given: dict[str, Any]
) -> list[dict[str, Any]]:
    near = near_sealed.nearest(
        cursor, faces.TRACKS, pack, given["vector"].to_numpy(), given["limit"],
        sql.SQL(_WHERE), given,
    )  # fmt: skip
    found = {"tracks": [one for one, _ in near], "aways": [1 - cosine for _, cosine in near]}
    query = sql.SQL(_TRACKS).format(near=sql.SQL(_NEAR_SEALED))
    return cursor.execute(query, given | found).fetchall()


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
    with db.transaction():
        cursor = db.cursor()
        vectors.widen(cursor, limit + _MARGIN)
        query = sql.SQL(_PERSONS).format(**words)
        rows = cursor.execute(query, given | {"min_score": threshold}).fetchall()
        if sealing_of(cursor).is_on:
            probe = given["vector"].to_numpy()
            near = near_sealed.nearest(cursor, faces.PERSONS, pack, probe, limit)
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
    words = vectors.near(table, pack, len(probe))
    return words, {"vector": Vector(probe), "limit": limit, "rows": limit + _MARGIN}


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
    if numbers.ndim != 1 or not 1 <= len(numbers) <= vectors.LONGEST:
        raise SightlineError(f"a vector is a list of 1 to {vectors.LONGEST} numbers")
    if not np.isfinite(numbers).all():
        raise SightlineError("the vector has numbers in it that are not finite")
    largest = float(np.abs(numbers).max())
    if largest < np.finfo(np.float32).tiny:
        raise SightlineError("the vector is zero: it looks like nobody")
    numbers = numbers / largest  # squares of large numbers overflow
    return np.asarray(numbers / np.linalg.norm(numbers), np.float32)
