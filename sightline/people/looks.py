"""What enrolled people learn from sightings that somebody said were them, and unlearn."""

from collections.abc import Sequence
from uuid import UUID

from schemas.ids import sighting_id
from sightline.identity import store
from sightline.identity.evidence import Vector, mean_of
from sightline.people import records, relabel
from sightline.people.overlay import Cursor
from sightline.settings import load_settings

MAX_SIGHTINGS = 5
"""Looks of one person and pack that come from sightings: photos decide, these add to them."""

_ALIKE = """
SELECT track_uuid::text, epoch, embedding, face_quality FROM person_tracks
WHERE global_id = %(stranger)s AND pack = %(pack)s AND vector_dims(embedding) = %(dimension)s
    AND 1 - (embedding <=> %(mean)s) >= %(agree)s
ORDER BY face_quality DESC, track_uuid LIMIT %(room)s
"""


def learn(cursor: Cursor, stranger: int, employee: UUID) -> int:
    """Take over a stranger's looks that agree with an employee's photos; how many.

    An agreeing look has at least the cosine to the photos' mean below which a pack's scores mean
    somebody else.
    """
    cursor.execute(
        "SELECT pack, source, embedding FROM face_templates WHERE employee_id = %s", (employee,)
    )
    photos: dict[str, list[Vector]] = {}
    room: dict[str, int] = {}
    for pack, source, embedding in cursor:
        if source == "photo":
            photos.setdefault(pack, []).append(embedding.to_numpy())
        else:
            room[pack] = room.get(pack, MAX_SIGHTINGS) - 1
    learned = 0
    for pack, vectors in photos.items():
        left = room.get(pack, MAX_SIGHTINGS)
        if left > 0:
            learned += _copy(cursor, stranger, employee, pack, mean_of(vectors), left)
    return learned


def unlearn(cursor: Cursor, tracks: Sequence[UUID]) -> None:
    """Take back what was learned from tracks, and tell the gallery."""
    cursor.execute(
        "DELETE FROM face_templates WHERE source = 'sighting' AND template_id = ANY(%s::uuid[])"
        " RETURNING employee_id",
        (relabel.sightings_of(cursor, tracks),),
    )
    for employee in {row[0] for row in cursor.fetchall()}:
        records.publish(cursor, employee)


def _copy(cursor: Cursor, stranger: int, employee: UUID, pack: str, mean: Vector, room: int) -> int:
    rate = load_settings().match.wanted_false_name_rate
    agree = store.in_force(cursor.connection, pack).scale(1, rate).newcomer
    cursor.execute(
        _ALIKE,
        {
            "stranger": stranger,
            "pack": pack,
            "dimension": len(mean),
            "mean": mean,
            "agree": agree,
            "room": room,
        },
    )
    looks = [
        (sighting_id(track, epoch), employee, pack, embedding, quality)
        for track, epoch, embedding, quality in cursor.fetchall()
    ]
    cursor.executemany(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, quality, source)"
        " VALUES (%s, %s, %s, %s, %s, 'sighting') ON CONFLICT (template_id) DO NOTHING",
        looks,
    )
    return len(looks)
