"""Comparisons of photos with each other and with the templates of enrolled people."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from psycopg import sql

from schemas.naming import template_context
from sightline.identity.evidence import Vector, mean_of, score_of
from sightline.people.employee_lookup import label_of
from sightline.people.photo_rejections import Reason
from sightline.people.photos import PhotoTemplate
from sightline.runtime.errors import PhotoError
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.db import Cursor, encryption_of

_NEAREST = """
WITH near AS MATERIALIZED (
    SELECT employee_id, {vector} <=> %(vector)s AS distance
    FROM {table} WHERE {indexed} AND employee_id IS DISTINCT FROM %(excluded)s
    ORDER BY {distance} LIMIT %(rows)s
)
SELECT employee_id, min(distance) FROM near GROUP BY employee_id
ORDER BY min(distance), employee_id LIMIT %(limit)s
"""

_NOT_EXCLUDED = sql.SQL("employee_id IS DISTINCT FROM %(excluded)s")

_NAMES = "SELECT id, name, employee_id_code FROM employees WHERE id = ANY(%s) ORDER BY id"

_SEARCHED_TEMPLATES = 200
"""More than one person may have, so that templates of a second person are among them."""

_MAX_CANDIDATES = 5
"""Candidates that are scored: the best template need not belong to the best score."""


@dataclass(frozen=True, slots=True)
class EnrolledCandidate:
    """An enrolled person and the score that the matcher would give."""

    person: UUID
    name: str  # with the code, if there is one
    score: float


def person_clusters(vectors: Sequence[Vector], agree: float) -> list[set[int]]:
    """Return single-linkage clusters of unit vectors (d,) as sets of indexes: one per person.

    Two vectors with a cosine below `agree` may be in one cluster if a third one links them: a
    photo with a beard, one without, and one in between.
    """
    stacked = np.stack(vectors)
    is_linked = stacked @ stacked.T >= agree
    clusters: list[set[int]] = []
    for index in range(len(vectors)):
        near = {index, *np.flatnonzero(is_linked[index]).tolist()}
        joined = [cluster for cluster in clusters if cluster & near]
        clusters = [cluster for cluster in clusters if not cluster & near]
        clusters.append(near.union(*joined))
    return clusters


def any_agrees(enrolled: Sequence[Vector], photos: Sequence[PhotoTemplate], agree: float) -> bool:
    """Tell whether any of the photos shows the person of some templates; True without templates."""
    if not enrolled:
        return True
    clusters = person_clusters([*enrolled, *(photo.embedding for photo in photos)], agree)
    return any(min(cluster) < len(enrolled) <= max(cluster) for cluster in clusters)


def check_agreement(
    enrolled: Sequence[Vector], photos: Sequence[PhotoTemplate], agree: float
) -> None:
    """Raise PhotoError FACES_DISAGREE for photos that show another person than the rest.

    `enrolled` are the person's stored templates: they are right, however many photos disagree.
    Without them the largest cluster is right, of two of one size the one that begins first.
    """
    clusters = person_clusters([*enrolled, *(photo.embedding for photo in photos)], agree)
    if enrolled:
        agreeing = set().union(*(cluster for cluster in clusters if min(cluster) < len(enrolled)))
    else:
        agreeing = max(clusters, key=lambda cluster: (len(cluster), -min(cluster)))
    odd = [
        photo.label for index, photo in enumerate(photos, len(enrolled)) if index not in agreeing
    ]
    if odd:
        reference = "the person enrolled with this name" if enrolled else "the person on the others"
        another = "; another person of this name needs a code (--code)" if enrolled else ""
        raise PhotoError(
            Reason.FACES_DISAGREE,
            f"{', '.join(odd)}: this is not the face of {reference}; leave the wrong photos out, "
            f"or insist that all are right (--force){another}",
        )


def check_not_enrolled(
    cursor: Cursor,
    pack: str,
    person: UUID | None,
    photos: Sequence[PhotoTemplate],
    threshold: float,
) -> None:
    """Raise PhotoError ALREADY_ENROLLED if another person scores `threshold` or more.

    The matcher could name neither of two people with one face.
    """
    for photo in photos:
        for candidate in nearest(cursor, pack, photo.embedding, exclude=person):
            if candidate.score >= threshold:
                raise PhotoError(
                    Reason.ALREADY_ENROLLED,
                    f"{photo.label}: {candidate.name} is enrolled with this face (score "
                    f"{candidate.score:.2f}, {threshold:.2f} is enough); add the photo to them, or "
                    "insist that these are two people (--force)",
                )


def nearest(
    cursor: Cursor, pack: str, embedding: Vector, *, exclude: UUID | None = None
) -> list[EnrolledCandidate]:
    """Search the enrolled people for a face (d,); return the candidates, best score first."""
    vector_indexes.widen_search(cursor, _SEARCHED_TEMPLATES)
    query = sql.SQL(_NEAREST).format(
        **vector_indexes.distance_query("face_templates", pack, len(embedding))
    )
    limits = {"rows": _SEARCHED_TEMPLATES, "limit": _MAX_CANDIDATES}
    cursor.execute(query, {"excluded": exclude, "vector": embedding} | limits)
    near = {row[0] for row in cursor}
    if encryption_of(cursor).is_on:
        near |= _nearest_encrypted(cursor, pack, embedding, exclude)
    cursor.execute(_NAMES, (list(near),))
    candidates = [
        EnrolledCandidate(
            person, label_of(name, code), score(embedding, templates(cursor, person, pack))
        )
        for person, name, code in cursor.fetchall()
    ]
    return sorted(candidates, key=lambda candidate: -candidate.score)


def _nearest_encrypted(
    cursor: Cursor, pack: str, vector: Vector, exclude: UUID | None
) -> set[UUID]:
    rows = encrypted_search.nearest(
        cursor, face_columns.TEMPLATES, pack, vector, _SEARCHED_TEMPLATES, _NOT_EXCLUDED,
        {"excluded": exclude},
    )  # fmt: skip
    return set(list(dict.fromkeys(person for person, _cosine in rows))[:_MAX_CANDIDATES])


def score(embedding: Vector, person_templates: Sequence[Vector]) -> float:
    """Score a face (d,) against a person's templates as the matcher does."""
    return score_of(embedding, person_templates, mean_of(person_templates))


def templates(cursor: Cursor, person: UUID, pack: str) -> list[Vector]:
    """Return a person's templates (d,) of a pack, the oldest first."""
    return list(templates_by_id(cursor, person, pack).values())


def templates_by_id(cursor: Cursor, person: UUID, pack: str) -> dict[UUID, Vector]:
    """Return a person's templates (d,) of a pack by template id, the oldest first."""
    cursor.execute(
        "SELECT template_id, embedding, embedding_sealed FROM face_templates"
        " WHERE employee_id = %s AND pack = %s ORDER BY created_at, template_id",
        (person, pack),
    )
    return {
        template: face
        for template, *columns in cursor
        if (face := face_columns.from_columns(cursor, template_context(template), *columns))
        is not None
    }
