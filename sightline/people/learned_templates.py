"""What enrolled people learn from sightings that somebody said were them, and unlearn."""

from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import UUID

from schemas.ids import sighting_id
from sightline.identity import calibration_store
from sightline.identity.evidence import Vector, mean_of
from sightline.people import employees, relabel
from sightline.people.identity_corrections import Cursor
from sightline.runtime.settings import load_settings
from sightline.storage import face_columns
from sightline.storage.face_columns import of_template, of_track

MAX_SIGHTINGS = 5
"""Looks of one person and pack that come from sightings: photos decide, these add to them."""

_ALIKE = """
SELECT track_uuid, epoch, face_quality, embedding, embedding_sealed FROM person_tracks
WHERE global_id = %(stranger)s AND pack = %(pack)s
    AND face_dimension(embedding, embedding_sealed) = %(dimension)s
ORDER BY face_quality DESC, track_uuid
"""


def learn(cursor: Cursor, stranger: int, employee: UUID) -> int:
    """Take over a stranger's looks that agree with an employee's photos; how many.

    An agreeing look has at least the cosine to the photos' mean below which a pack's scores mean
    somebody else.
    """
    cursor.execute(
        "SELECT template_id, pack, source, embedding, embedding_sealed FROM face_templates"
        " WHERE employee_id = %s",
        (employee,),
    )
    photos: dict[str, list[Vector]] = {}
    room: dict[str, int] = {}
    for template, pack, source, *columns in cursor:
        face = face_columns.from_columns(cursor, face_columns.of_template(template), *columns)
        if source == "photo" and face is not None:
            photos.setdefault(pack, []).append(face)
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
        employees.publish(cursor, employee)


def _copy(cursor: Cursor, stranger: int, employee: UUID, pack: str, mean: Vector, room: int) -> int:
    rate = load_settings().match.wanted_false_name_rate
    agree = calibration_store.in_force(cursor.connection, pack).scale(1, rate).newcomer
    asked = {"stranger": stranger, "pack": pack, "dimension": len(mean)}
    alike = islice(_alike(cursor.execute(_ALIKE, asked), mean, agree), room)
    learned = [
        (
            template,
            employee,
            pack,
            *face_columns.to_columns(cursor, of_template(template), face),
            quality,
        )
        for template, face, quality in alike
    ]
    cursor.executemany(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, embedding_sealed,"
        " quality, source) VALUES (%s, %s, %s, %s, %s, %s, 'sighting')"
        " ON CONFLICT (template_id) DO NOTHING",
        learned,
    )
    return len(learned)


def _alike(
    cursor: Cursor, mean: Vector, agree: float
) -> Iterator[tuple[str, Vector, float | None]]:
    for track, epoch, quality, *columns in cursor:
        face = face_columns.from_columns(cursor, of_track(track), *columns)
        if face is not None and float(mean @ face) >= agree:
            yield sighting_id(str(track), epoch), face, quality
