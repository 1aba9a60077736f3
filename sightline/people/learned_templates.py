"""Templates that employees learn from sightings merged into them, and their removal."""

from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import UUID

from schemas.ids import sighting_id
from schemas.naming import template_context, track_context
from sightline.identity import calibration_store
from sightline.identity.evidence import Vector, mean_of
from sightline.people import employees, relabel
from sightline.storage import face_columns
from sightline.storage.db import Cursor, settings_of

MAX_LEARNED_TEMPLATES = 5
"""Learned templates of one person and pack; the photos decide, these only add to them."""

_PERSON_TRACKS = """
SELECT track_uuid, epoch, face_quality, embedding, embedding_sealed FROM person_tracks
WHERE global_id = %(person)s AND pack = %(pack)s
    AND face_dimension(embedding, embedding_sealed) = %(dimension)s
ORDER BY face_quality DESC, track_uuid
"""


def learn(cursor: Cursor, person: int, employee: UUID) -> int:
    """Copy a person's embeddings that agree with an employee's photos; return their number.

    An embedding agrees if its cosine to the photos' mean is at least the score below which the
    pack tells an unknown person from an enrolled one.
    """
    cursor.execute(
        "SELECT template_id, pack, source, embedding, embedding_sealed FROM face_templates"
        " WHERE employee_id = %s",
        (employee,),
    )
    photos: dict[str, list[Vector]] = {}
    room: dict[str, int] = {}
    for template, pack, source, *columns in cursor:
        face = face_columns.from_columns(cursor, template_context(template), *columns)
        if source == "photo" and face is not None:
            photos.setdefault(pack, []).append(face)
        else:
            room[pack] = room.get(pack, MAX_LEARNED_TEMPLATES) - 1
    learned = 0
    for pack, vectors in photos.items():
        free = room.get(pack, MAX_LEARNED_TEMPLATES)
        if free > 0:
            learned += _copy(cursor, person, employee, pack, mean_of(vectors), free)
    return learned


def unlearn(cursor: Cursor, tracks: Sequence[UUID]) -> None:
    """Delete the templates learned from tracks and publish the employees."""
    cursor.execute(
        "DELETE FROM face_templates WHERE source = 'sighting' AND template_id = ANY(%s::uuid[])"
        " RETURNING employee_id",
        (relabel.sightings_of(cursor, tracks),),
    )
    for employee in {row[0] for row in cursor.fetchall()}:
        employees.publish(cursor, employee)


def _copy(cursor: Cursor, person: int, employee: UUID, pack: str, mean: Vector, room: int) -> int:
    rate = settings_of(cursor).match.target_fpir
    agree = (
        calibration_store.calibration_in_force(cursor.connection, pack)
        .scale(1, rate)
        .unknown_threshold
    )
    values = {"person": person, "pack": pack, "dimension": len(mean)}
    learned = []
    agreeing = _agreeing(cursor.execute(_PERSON_TRACKS, values), mean, agree)
    for template, face, quality in islice(agreeing, room):
        columns = face_columns.to_columns(cursor, template_context(template), face)
        learned.append((template, employee, pack, *columns, quality))
    cursor.executemany(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, embedding_sealed,"
        " quality, source) VALUES (%s, %s, %s, %s, %s, %s, 'sighting')"
        " ON CONFLICT (template_id) DO NOTHING",
        learned,
    )
    return len(learned)


def _agreeing(
    cursor: Cursor, mean: Vector, agree: float
) -> Iterator[tuple[str, Vector, float | None]]:
    for track, epoch, quality, *columns in cursor:
        face = face_columns.from_columns(cursor, track_context(track), *columns)
        if face is not None and float(mean @ face) >= agree:
            yield sighting_id(str(track), epoch), face, quality
