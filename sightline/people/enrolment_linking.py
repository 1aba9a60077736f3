"""Links unknown persons to the employee they enrol as, so that they keep their history."""

import math
from uuid import UUID

from psycopg import sql

from schemas import ids
from schemas.naming import track_context
from sightline.identity.evidence import Vector, mean_of
from sightline.identity.scale import ScoreScale
from sightline.people import corrections, identity_corrections
from sightline.people.template_similarity import nearest, score, templates
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.db import Cursor, encryption_of

_MADE_BY = "enrolment"

_NEAR = """
SELECT global_id FROM (
    SELECT global_id, {vector} <=> %(vector)s AS distance FROM {table} WHERE {indexed}
    ORDER BY {distance} LIMIT %(rows)s) AS near
WHERE 1 - distance >= %(threshold)s
"""

# Persons who are neither enrolled nor merged, and have no cannot-link to this employee.
_UNKNOWN_PERSONS = """
SELECT person.global_id, person.face_track, person.face_embedding, person.face_embedding_sealed
FROM detected_persons person
WHERE person.global_id = ANY(%(near)s) AND person.embedding_pack = %(pack)s
    AND NOT EXISTS (SELECT FROM employees WHERE employees.global_id = person.global_id)
    AND NOT EXISTS (SELECT FROM person_aliases WHERE person_aliases.global_id = person.global_id)
    AND NOT EXISTS (SELECT FROM not_same
        WHERE not_same.global_id = least(person.global_id, %(own)s)
        AND other_global_id = greatest(person.global_id, %(own)s))
ORDER BY person.first_seen, person.global_id
"""

_NEAREST_ROWS = 50
"""Unknown persons searched per template; the cameras do not make more of one face."""

_QUERY_TEMPLATES = 10
"""The newest templates that are searched with; earlier ones were searched when added."""


def link_unknown_persons(
    cursor: Cursor, pack: str, person: UUID, scale: ScoreScale, observations: int
) -> list[int]:
    """Merge unknown persons who are safely this employee into them; return their global ids.

    `observations` is the smallest number of agreeing observations of an unknown person. The
    conditions are the matcher's for a name: the threshold, and a lead over every other employee.
    """
    own_templates = templates(cursor, person, pack)
    threshold = scale.threshold(observations)
    if not own_templates or not math.isfinite(threshold):
        return []
    near = _near(
        cursor, pack, [mean_of(own_templates), *own_templates[-_QUERY_TEMPLATES:]], threshold
    )
    if not near:
        return []
    identity_corrections.lock_exclusive(cursor)  # always the first lock
    global_id = ids.global_id(str(person))
    cursor.execute(_UNKNOWN_PERSONS, {"near": near, "pack": pack, "own": global_id})
    linked = []
    for unknown_id, track, *columns in cursor.fetchall():
        face = face_columns.from_columns(cursor, track_context(track), *columns)
        if face is None:
            continue
        if score(face, own_templates) >= threshold and _leads(
            cursor, pack, person, face, own_templates, scale
        ):
            corrections.merge(cursor, unknown_id, global_id, _MADE_BY)
            linked.append(unknown_id)
    return linked


def _near(cursor: Cursor, pack: str, queries: list[Vector], threshold: float) -> list[int]:
    """Return the global ids of persons whose score may reach a threshold.

    A score is the mean of two cosines, to the best template and to the mean template: if the
    score reaches the threshold, so does at least one of the two.
    """
    vector_indexes.widen_search(cursor, _NEAREST_ROWS)
    persons: set[int] = set()
    statement = sql.SQL(_NEAR).format(
        **vector_indexes.distance_query("person_faces", pack, len(queries[0]))
    )
    is_encrypting = encryption_of(cursor).is_on
    for query in queries:
        cursor.execute(statement, {"vector": query, "rows": _NEAREST_ROWS, "threshold": threshold})
        persons.update(row[0] for row in cursor)
        if is_encrypting:
            near = encrypted_search.nearest(
                cursor, face_columns.PERSONS, pack, query, _NEAREST_ROWS
            )
            persons.update(person for person, cosine in near if cosine >= threshold)
    return sorted(persons)


def _leads(
    cursor: Cursor,
    pack: str,
    person: UUID,
    face: Vector,
    own_templates: list[Vector],
    scale: ScoreScale,
) -> bool:
    candidates = nearest(cursor, pack, face, exclude=person)
    return not candidates or score(face, own_templates) - candidates[0].score >= scale.lead
