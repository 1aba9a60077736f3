"""Deletion of a person's rows in the live schema and in those of runs.

The caller's transaction holds the corrections' lock, so nobody else writes decisions.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from ops.erasure.subject import Subject
from schemas import sightline_pb2 as pb
from schemas.naming import person_fact_key, track_fact_key
from schemas.topics import FACTS, GALLERY
from sightline.people import employees, learned_templates, reference_facts, suppression_list
from sightline.storage.db import Cursor, row_schemas
from sightline.storage.outbox import enqueue, enqueue_all

_BY_TRACK = "global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])"
_BY_SIGHTING = "sighting_id = ANY(%(sightings)s::uuid[])"

# Tables that references point to come last.
_ROWS: dict[str, LiteralString] = {
    "pending_snapshots": _BY_SIGHTING,
    "stale_snapshots": _BY_SIGHTING,
    "snapshots": f"{_BY_TRACK} OR path = ANY(%(paths)s)",
    "snapshot_owners": _BY_TRACK,
    "access_logs": f"{_BY_TRACK} OR employee_id = %(employee)s",
    "visit_evidence": f"global_id = ANY(%(ids)s) OR employee_id = %(employee)s OR {_BY_SIGHTING}",
    "visitor_logs": "global_id = ANY(%(ids)s) OR employee_id = %(employee)s",
    "person_tracks": f"{_BY_TRACK} OR person_id = %(employee)s",
    "detected_persons": "global_id = ANY(%(ids)s) OR person_id = %(employee)s",
    "stale_persons": "global_id = ANY(%(ids)s)",
    "stale_objects": "key = ANY(%(paths)s)",
}
"""Tables that every run has, with the condition for the person's rows."""

_PATHS: LiteralString = "SELECT path FROM {} WHERE is_own AND (" + _BY_TRACK + ")"  # noqa: S608

# Columns in other persons' rows that name the person.
_MENTIONS: tuple[LiteralString, ...] = (
    "UPDATE {} SET candidate = NULL, candidate_score = NULL WHERE candidate = ANY(%(keys)s)",
    "UPDATE {} SET runner_up = NULL, runner_up_score = NULL WHERE runner_up = ANY(%(keys)s)",
    "UPDATE {} SET snapshot_path = NULL WHERE snapshot_path = ANY(%(paths)s)",
)

_CORRECTIONS: tuple[LiteralString, ...] = (
    "DELETE FROM track_corrections"
    " WHERE global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])",
    "DELETE FROM person_names WHERE global_id = ANY(%(ids)s)",
    "DELETE FROM person_aliases WHERE global_id = ANY(%(ids)s) OR into_global_id = ANY(%(ids)s)",
    "DELETE FROM not_same WHERE global_id = ANY(%(ids)s) OR other_global_id = ANY(%(ids)s)",
)

_CORRECTED_TRACKS = """
SELECT track_uuid::text FROM track_corrections
WHERE global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])
"""

_CANNOT_LINK = """
SELECT DISTINCT CASE WHEN global_id = ANY(%(ids)s) THEN other_global_id ELSE global_id END
FROM not_same WHERE global_id = ANY(%(ids)s) OR other_global_id = ANY(%(ids)s)
"""

_UNUSED = """
DELETE FROM corrections correction WHERE correction_id = %(correction_id)s
    AND NOT EXISTS (SELECT FROM track_corrections WHERE correction_id = correction.correction_id)
    AND NOT EXISTS (SELECT FROM person_names WHERE correction_id = correction.correction_id)
    AND NOT EXISTS (SELECT FROM person_aliases WHERE correction_id = correction.correction_id)
    AND NOT EXISTS (SELECT FROM not_same WHERE correction_id = correction.correction_id)
"""


def erase(cursor: Cursor, subject: Subject, erasure: UUID) -> tuple[Counter[str], list[str]]:
    """Delete all rows; return their number by table, and the keys of the person's pictures."""
    deleted: Counter[str] = Counter()
    parameters = _parameters(subject)
    photos = employees.photo_urls(cursor, subject.employee) if subject.employee else []
    learned_templates.unlearn(cursor, [UUID(track) for track in subject.tracks])
    places = row_schemas(cursor.connection)
    for schema in places:
        cursor.execute(sql.SQL(_PATHS).format(sql.Identifier(schema, "snapshots")), parameters)
        parameters["paths"] = sorted({*parameters["paths"], *(row[0] for row in cursor)})
    for schema in places:
        deleted += _delete_in_schema(cursor, schema, parameters)
    deleted += _delete_corrections(cursor, subject, parameters)
    if subject.employee:
        deleted += _delete_employee(cursor, subject)
    _suppress(cursor, subject, erasure)
    return deleted, [*photos, *parameters["paths"]]


def _parameters(subject: Subject) -> dict[str, Any]:
    keys = [str(person) for person in subject.global_ids]
    return {
        "ids": list(subject.global_ids),
        "employee": subject.employee,
        "keys": [*keys, str(subject.employee)] if subject.employee else keys,
        "tracks": list(subject.tracks),
        "sightings": list(subject.sightings),
        "paths": [],
    }


def _delete_in_schema(cursor: Cursor, schema: str, parameters: dict[str, Any]) -> Counter[str]:
    deleted: Counter[str] = Counter()
    existing = _tables(cursor, schema)
    for table, condition in _ROWS.items():
        if table in existing:
            delete = sql.SQL("DELETE FROM {} WHERE {}")
            identifier = sql.Identifier(schema, table)
            cursor.execute(delete.format(identifier, sql.SQL(condition)), parameters)
            deleted[f"{schema}.{table}"] += cursor.rowcount
    for mention in _MENTIONS:
        cursor.execute(sql.SQL(mention).format(sql.Identifier(schema, "access_logs")), parameters)
    return deleted


def _tables(cursor: Cursor, schema: str) -> set[str]:
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    return {row[0] for row in cursor.execute(query, (schema,))}


def _delete_corrections(
    cursor: Cursor, subject: Subject, parameters: dict[str, Any]
) -> Counter[str]:
    """Delete corrections of the person, and tell others that a cannot-link is gone."""
    deleted: Counter[str] = Counter()
    cursor.execute(_CANNOT_LINK, parameters)
    other_persons = {row[0] for row in cursor} - set(subject.global_ids)
    cursor.execute(_CORRECTED_TRACKS, parameters)
    fact_keys = [track_fact_key(row[0]) for row in cursor]
    for delete in _CORRECTIONS:
        cursor.execute(delete, parameters)
        deleted["public." + delete.split()[2]] += cursor.rowcount
    cursor.execute("SELECT correction_id, details FROM corrections")
    for correction_id, details in cursor.fetchall():
        remaining = without_person(details, {*subject.global_ids, *subject.tracks, *subject.names})
        if remaining == details:
            continue
        cursor.execute(_UNUSED, {"correction_id": correction_id})
        deleted["public.corrections"] += cursor.rowcount
        cursor.execute(
            "UPDATE corrections SET details = %s WHERE correction_id = %s",
            (json.dumps(remaining), correction_id),
        )
    _delete_from_outbox(cursor, FACTS.name, [track_fact_key(track) for track in subject.tracks])
    enqueue_all(cursor, FACTS.name, [(key, None) for key in fact_keys])
    reference_facts.publish_persons(cursor, other_persons)
    return deleted


def without_person(details: dict[str, Any], erased: Collection[str | int]) -> dict[str, Any]:
    """Return the details of a correction without a person's ids, tracks and names."""
    remaining: dict[str, Any] = {}
    for name, value in details.items():
        if isinstance(value, list):
            remaining[name] = [item for item in value if item not in erased]
        elif value not in erased:
            remaining[name] = value
    return remaining


def _delete_employee(cursor: Cursor, subject: Subject) -> Counter[str]:
    deleted: Counter[str] = Counter()
    for table, column in (("face_templates", "employee_id"), ("employees", "id")):
        delete = sql.SQL("DELETE FROM {} WHERE {} = %s")
        statement = delete.format(sql.Identifier(table), sql.Identifier(column))
        cursor.execute(statement, (subject.employee,))
        deleted[f"public.{table}"] += cursor.rowcount
    return deleted


def _suppress(cursor: Cursor, subject: Subject, erasure: UUID) -> None:
    """Tell the matchers, and put the person on the suppression list of the sinks."""
    cursor.execute(
        "INSERT INTO erased_persons SELECT unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
        (list(subject.global_ids), erasure),
    )
    suppression_list.suppress_tracks(cursor, subject.tracks, erasure)
    employee = [str(subject.employee)] if subject.employee else []
    _delete_from_outbox(cursor, GALLERY.name, employee)
    markers = [erasure_fact(person) for person in subject.global_ids]
    _delete_from_outbox(cursor, FACTS.name, [key for key, _fact in markers])
    for person in employee:
        enqueue(cursor, GALLERY.name, person, None)
    enqueue_all(cursor, FACTS.name, markers)


def _delete_from_outbox(cursor: Cursor, topic: str, keys: Iterable[str]) -> None:
    """Delete waiting outbox records of these keys."""
    cursor.execute(
        "DELETE FROM outbox WHERE topic = %s AND key = ANY(%b::bytea[])",
        (topic, [key.encode() for key in keys]),
    )


def erasure_fact(person: int, tracks: Iterable[str] = ()) -> tuple[str, bytes]:
    """Return key and value of the fact that a person was erased; it holds ids alone.

    `tracks` are ids of tracks that were assigned by corrections, and that a matcher holds.
    """
    correction = pb.PersonCorrection(
        global_id=person, forgotten=True, erased=True, erased_tracks=tracks
    )
    return person_fact_key(person), pb.Fact(person=correction).SerializeToString(deterministic=True)
