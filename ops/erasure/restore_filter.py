"""Filter that keeps erased persons out of a restored backup."""

import json
from typing import LiteralString

from ops.erasure.row_deletion import without_person
from sightline.storage.db import Cursor

_DELETIONS: tuple[LiteralString, ...] = (
    "DELETE FROM restored_face_templates looks USING restored_employees person"
    " WHERE person.id = looks.employee_id AND person.global_id = ANY(%(persons)s)",
    "DELETE FROM restored_employees WHERE global_id = ANY(%(persons)s)",
    "DELETE FROM restored_person_tracks"
    " WHERE global_id = ANY(%(persons)s) OR track_uuid = ANY(%(tracks)s::uuid[])",
    "DELETE FROM restored_detected_persons WHERE global_id = ANY(%(persons)s)",
    "DELETE FROM restored_person_names WHERE global_id = ANY(%(persons)s)",
    "DELETE FROM restored_person_aliases"
    " WHERE global_id = ANY(%(persons)s) OR into_global_id = ANY(%(persons)s)",
    "DELETE FROM restored_not_same"
    " WHERE global_id = ANY(%(persons)s) OR other_global_id = ANY(%(persons)s)",
    "DELETE FROM restored_track_corrections"
    " WHERE global_id = ANY(%(persons)s) OR track_uuid = ANY(%(tracks)s::uuid[])",
    "DELETE FROM restored_corrections WHERE kind IN ('name', 'forget')"
    " AND (details ->> 'global_id')::bigint = ANY(%(persons)s)",
)
"""Statements for the tables that a backup is read into, which have no references."""


def exclude_erased(cursor: Cursor) -> None:
    """Delete erased persons from the tables of a backup, before it becomes the truth."""
    persons = [row[0] for row in cursor.execute("SELECT global_id FROM erased_persons")]
    if not persons:
        return
    tracks = [row[0] for row in cursor.execute("SELECT track_uuid::text FROM erased_tracks")]
    for statement in _DELETIONS:
        cursor.execute(statement, {"persons": persons, "tracks": tracks})
    cursor.execute("SELECT correction_id, details FROM restored_corrections")
    for correction_id, details in cursor.fetchall():
        remaining = without_person(details, {*persons, *tracks})
        if remaining != details:
            cursor.execute(
                "UPDATE restored_corrections SET details = %s WHERE correction_id = %s",
                (json.dumps(remaining), correction_id),
            )
