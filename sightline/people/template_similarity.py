"""Whether photos show one person, and whether they show somebody who is enrolled already."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from sightline.identity.evidence import Vector, mean_of, score_of
from sightline.people.photo_rejections import Reason
from sightline.people.photos import Look
from sightline.runtime.errors import PhotoError
from sightline.storage import encrypted_search, face_columns, vector_indexes
from sightline.storage.db import sealing_of

Cursor = psycopg.Cursor[TupleRow]

_NEAREST = """
WITH near AS MATERIALIZED (
    SELECT employee_id, {vector} <=> %(vector)s AS away
    FROM {table} WHERE {indexed} AND employee_id IS DISTINCT FROM %(but)s
    ORDER BY {distance} LIMIT %(rows)s
)
SELECT employee_id, min(away) FROM near GROUP BY employee_id
ORDER BY min(away), employee_id LIMIT %(limit)s
"""

_NOT_THEM = sql.SQL("employee_id IS DISTINCT FROM %(but)s")

_NAMES = "SELECT id, name FROM employees WHERE id = ANY(%s) ORDER BY id"

_TEMPLATES = 200
"""More than one person has: those of a second are among them."""

_CANDIDATES = 5
"""The best template may be one person's and the best score another's."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """An enrolled person, and the score that the matcher would give them."""

    person: UUID
    name: str
    score: float


def chains(vectors: Sequence[Vector], agree: float) -> list[set[int]]:
    """Looks of unit length that hang together, by index: of one person each, as it seems.

    Two looks under a cosine of `agree` may be the ends of a chain: with a beard, without, and
    one in between.
    """
    stacked = np.stack(vectors)
    alike = stacked @ stacked.T >= agree
    found: list[set[int]] = []
    for index in range(len(vectors)):
        near = {index, *np.flatnonzero(alike[index]).tolist()}
        joined = [chain for chain in found if chain & near]
        found = [chain for chain in found if not chain & near]
        found.append(near.union(*joined))
    return found


def check_agreement(known: Sequence[Vector], looks: Sequence[Look], agree: float) -> None:
    """Raise PhotoError FACES_DISAGREE for photos that are not of the person of the others.

    `known` are the person's templates of before: those are right, however many photos say
    otherwise. Without them the longest chain is, of two of one length the one that begins first.
    """
    found = chains([*known, *(one.vector for one in looks)], agree)
    if known:
        own = set().union(*(chain for chain in found if min(chain) < len(known)))
    else:
        own = max(found, key=lambda chain: (len(chain), -min(chain)))
    odd = [one.label for index, one in enumerate(looks, len(known)) if index not in own]
    if odd:
        others = "the person enrolled with this name" if known else "the person on the others"
        raise PhotoError(
            Reason.FACES_DISAGREE,
            f"{', '.join(odd)}: this is not the face of {others}; leave the wrong photos out, or "
            "insist that all are right (--force)",
        )


def check_nobody_else(
    cursor: Cursor, pack: str, person: UUID | None, looks: Sequence[Look], bar: float
) -> None:
    """Raise PhotoError ALREADY_ENROLLED when somebody else scores `bar` or more with a photo.

    Two people with one face would hide each other from the matcher.
    """
    for one in looks:
        for other in nearest(cursor, pack, one.vector, but=person):
            if other.score >= bar:
                raise PhotoError(
                    Reason.ALREADY_ENROLLED,
                    f"{one.label}: {other.name} is enrolled with this face (score "
                    f"{other.score:.2f}, {bar:.2f} is enough); add the photo to them, or "
                    "insist that these are two people (--force)",
                )


def nearest(
    cursor: Cursor, pack: str, vector: Vector, *, but: UUID | None = None
) -> list[Likeness]:
    """The enrolled people who look most like a face (d,), best score first."""
    vector_indexes.widen(cursor, _TEMPLATES)
    cursor.execute(
        sql.SQL(_NEAREST).format(**vector_indexes.near("face_templates", pack, len(vector))),
        {"but": but, "vector": vector, "rows": _TEMPLATES, "limit": _CANDIDATES},
    )
    near = {row[0] for row in cursor}
    if sealing_of(cursor).is_on:
        near |= _near_sealed(cursor, pack, vector, but)
    cursor.execute(_NAMES, (list(near),))
    found = [
        Likeness(person, name, score(vector, templates(cursor, person, pack)))
        for person, name in cursor.fetchall()
    ]
    return sorted(found, key=lambda one: -one.score)


def _near_sealed(cursor: Cursor, pack: str, vector: Vector, but: UUID | None) -> set[UUID]:
    found = encrypted_search.nearest(
        cursor, face_columns.TEMPLATES, pack, vector, _TEMPLATES, _NOT_THEM, {"but": but}
    )
    return set(list(dict.fromkeys(person for person, _cosine in found))[:_CANDIDATES])


def score(vector: Vector, own: Sequence[Vector]) -> float:
    """The matcher's own score of a face against a person's templates."""
    return score_of(vector, own, mean_of(own))


def templates(cursor: Cursor, person: UUID, pack: str) -> list[Vector]:
    """A person's templates of a pack, the oldest first."""
    return list(named_templates(cursor, person, pack).values())


def named_templates(cursor: Cursor, person: UUID, pack: str) -> dict[UUID, Vector]:
    """The same, by template id."""
    cursor.execute(
        "SELECT template_id, embedding, embedding_sealed FROM face_templates"
        " WHERE employee_id = %s AND pack = %s ORDER BY created_at, template_id",
        (person, pack),
    )
    return {
        template: face
        for template, *columns in cursor
        if (face := face_columns.from_columns(cursor, face_columns.of_template(template), *columns))
        is not None
    }
