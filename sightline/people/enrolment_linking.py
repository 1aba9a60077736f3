"""Strangers whom the cameras have met, and who have enrolled since: they keep their history."""

import math
from uuid import UUID

from psycopg import sql

from schemas import ids
from sightline.identity.evidence import Vector, mean_of
from sightline.identity.scale import Scale
from sightline.people import corrections, identity_corrections
from sightline.people.template_similarity import Cursor, nearest, score, templates
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.db import sealing_of

_MADE_BY = "enrolment"

_NEAR = """
SELECT global_id FROM (
    SELECT global_id, {vector} <=> %(vector)s AS away FROM {table} WHERE {indexed}
    ORDER BY {distance} LIMIT %(rows)s) AS near
WHERE 1 - away >= %(threshold)s
"""

# Whom nobody has enrolled, merged, or told apart from this person.
_STRANGERS = """
SELECT stranger.global_id, stranger.face_track, stranger.face_embedding,
    stranger.face_embedding_sealed
FROM detected_persons stranger
WHERE stranger.global_id = ANY(%(near)s) AND stranger.embedding_pack = %(pack)s
    AND NOT EXISTS (SELECT FROM employees WHERE employees.global_id = stranger.global_id)
    AND NOT EXISTS (SELECT FROM person_aliases WHERE person_aliases.global_id = stranger.global_id)
    AND NOT EXISTS (SELECT FROM not_same
        WHERE not_same.global_id = least(stranger.global_id, %(own)s)
        AND other_global_id = greatest(stranger.global_id, %(own)s))
ORDER BY stranger.first_seen, stranger.global_id
"""

_ROWS = 50
"""Strangers near to one look; the cameras do not make more of one face."""

_PROBES = 10
"""The latest looks: for those before them this was done before."""


def link_strangers(cursor: Cursor, pack: str, person: UUID, scale: Scale, shots: int) -> list[int]:
    """Merge the strangers who are safely this person into them; their global ids.

    `shots` is how many agreeing ones a stranger is made of at least. Held to what the matcher
    asks for a name: the threshold, and a clear lead over everybody else who is enrolled.
    """
    own = templates(cursor, person, pack)
    threshold = scale.threshold(shots)
    if not own or not math.isfinite(threshold):
        return []
    near = _near(cursor, pack, [mean_of(own), *own[-_PROBES:]], threshold)
    if not near:
        return []
    identity_corrections.lock(cursor)  # first of all locks
    global_id = ids.global_id(str(person))
    cursor.execute(_STRANGERS, {"near": near, "pack": pack, "own": global_id})
    linked = []
    for stranger, track, *columns in cursor.fetchall():
        face = face_columns.from_columns(cursor, face_columns.of_track(track), *columns)
        if face is None:
            continue
        if score(face, own) >= threshold and _leads(cursor, pack, person, face, own, scale):
            corrections.merge(cursor, stranger, global_id, _MADE_BY)
            linked.append(stranger)
    return linked


def _near(cursor: Cursor, pack: str, probes: list[Vector], threshold: float) -> list[int]:
    """Whom the cameras have met who may reach a threshold.

    A score is the mean of two cosines, to the best look and to the mean of all: one of the two
    reaches it then.
    """
    vector_indexes.widen(cursor, _ROWS)
    found: set[int] = set()
    query = sql.SQL(_NEAR).format(**vector_indexes.near("person_faces", pack, len(probes[0])))
    is_sealing = sealing_of(cursor).is_on
    for probe in probes:
        cursor.execute(query, {"vector": probe, "rows": _ROWS, "threshold": threshold})
        found.update(row[0] for row in cursor)
        if is_sealing:
            near = encrypted_search.nearest(cursor, face_columns.PERSONS, pack, probe, _ROWS)
            found.update(stranger for stranger, cosine in near if cosine >= threshold)
    return sorted(found)


def _leads(
    cursor: Cursor, pack: str, person: UUID, face: Vector, own: list[Vector], scale: Scale
) -> bool:
    others = nearest(cursor, pack, face, but=person)
    return not others or score(face, own) - others[0].score >= scale.lead
