"""Strangers whom the cameras have met, and who have enrolled since: they keep their history."""

from uuid import UUID

from schemas import ids
from sightline.identity.evidence import Vector, mean_of
from sightline.identity.scale import Scale
from sightline.people import corrections, overlay
from sightline.people.likeness import Cursor, nearest, score, templates

_MADE_BY = "enrolment"

# Whom nobody has told apart from this person, and who comes near: a score is the mean of the two
# cosines here.
_STRANGERS = """
SELECT stranger.global_id, stranger.face_embedding
FROM detected_persons stranger
WHERE stranger.person_id IS NULL AND stranger.embedding_pack = %(pack)s
    AND stranger.global_id <> %(own)s
    AND NOT EXISTS (SELECT FROM employees WHERE employees.global_id = stranger.global_id)
    AND NOT EXISTS (SELECT FROM person_aliases WHERE person_aliases.global_id = stranger.global_id)
    AND NOT EXISTS (SELECT FROM not_same
        WHERE not_same.global_id = least(stranger.global_id, %(own)s)
        AND other_global_id = greatest(stranger.global_id, %(own)s))
    AND (1 - (stranger.face_embedding <=> %(mean)s) >= %(threshold)s
        OR EXISTS (SELECT FROM face_templates template
            WHERE template.employee_id = %(person)s AND template.pack = %(pack)s
            AND 1 - (template.embedding <=> stranger.face_embedding) >= %(threshold)s))
ORDER BY stranger.first_seen, stranger.global_id
"""


def link_strangers(cursor: Cursor, pack: str, person: UUID, scale: Scale, shots: int) -> list[int]:
    """Merge the strangers who are safely this person into them; their global ids.

    `shots` is how many agreeing ones a stranger is made of at least. Held to what the matcher
    asks for a name: the threshold, and a clear lead over everybody else who is enrolled.
    """
    overlay.lock(cursor)  # first of all locks
    threshold = scale.threshold(shots)
    global_id = ids.global_id(str(person))
    own = templates(cursor, person, pack)
    cursor.execute(
        _STRANGERS,
        {
            "pack": pack,
            "own": global_id,
            "person": person,
            "mean": mean_of(own),
            "threshold": threshold,
        },
    )
    linked = []
    for stranger, embedding in cursor.fetchall():
        face = embedding.to_numpy()
        if score(face, own) >= threshold and _leads(cursor, pack, person, face, own, scale):
            corrections.merge(cursor, stranger, global_id, _MADE_BY)
            linked.append(stranger)
    return linked


def _leads(
    cursor: Cursor, pack: str, person: UUID, face: Vector, own: list[Vector], scale: Scale
) -> bool:
    others = nearest(cursor, pack, face, but=person)
    return not others or score(face, own) - others[0].score >= scale.lead
