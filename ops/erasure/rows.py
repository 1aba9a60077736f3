"""Everything that the database has of a person, deleted: in the live schema and in those of runs.

The caller's transaction holds the lock of the corrections, so nobody else writes decisions.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from ops.erasure.subject import Subject
from schemas import sightline_pb2 as pb
from schemas.topics import FACTS, GALLERY
from sightline.people import employees, learned_templates, reference_facts, suppression_list
from sightline.people.identity_corrections import Cursor
from sightline.storage.db import row_schemas
from sightline.storage.outbox import enqueue, enqueue_all

_BY_TRACK = "global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])"
_BY_SIGHTING = "sighting_id = ANY(%(sightings)s::uuid[])"

# Whom references point to comes last.
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
"""Tables that every pass over the frames has, and which of their rows are the person's."""

_PATHS: LiteralString = "SELECT path FROM {} WHERE is_own AND (" + _BY_TRACK + ")"  # noqa: S608

# What others' rows say of the person.
_MENTIONS: tuple[LiteralString, ...] = (
    "UPDATE {} SET candidate = NULL, candidate_score = NULL WHERE candidate = ANY(%(keys)s)",
    "UPDATE {} SET runner_up = NULL, runner_up_score = NULL WHERE runner_up = ANY(%(keys)s)",
    "UPDATE {} SET snapshot_path = NULL WHERE snapshot_path = ANY(%(paths)s)",
)

_CORRECTED: tuple[LiteralString, ...] = (
    "DELETE FROM track_corrections"
    " WHERE global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])",
    "DELETE FROM person_names WHERE global_id = ANY(%(ids)s)",
    "DELETE FROM person_aliases WHERE global_id = ANY(%(ids)s) OR into_global_id = ANY(%(ids)s)",
    "DELETE FROM not_same WHERE global_id = ANY(%(ids)s) OR other_global_id = ANY(%(ids)s)",
)

_GIVEN = """
SELECT track_uuid::text FROM track_corrections
WHERE global_id = ANY(%(ids)s) OR track_uuid = ANY(%(tracks)s::uuid[])
"""

_DIFFERENT = """
SELECT DISTINCT CASE WHEN global_id = ANY(%(ids)s) THEN other_global_id ELSE global_id END
FROM not_same WHERE global_id = ANY(%(ids)s) OR other_global_id = ANY(%(ids)s)
"""

_UNUSED = """
DELETE FROM corrections said WHERE correction_id = %(said)s
    AND NOT EXISTS (SELECT FROM track_corrections WHERE correction_id = said.correction_id)
    AND NOT EXISTS (SELECT FROM person_names WHERE correction_id = said.correction_id)
    AND NOT EXISTS (SELECT FROM person_aliases WHERE correction_id = said.correction_id)
    AND NOT EXISTS (SELECT FROM not_same WHERE correction_id = said.correction_id)
"""


def erase(cursor: Cursor, subject: Subject, erasure: UUID) -> tuple[Counter[str], list[str]]:
    """Delete all rows; how many of each table, and the keys of pictures that go with them."""
    gone: Counter[str] = Counter()
    asked = _asked(subject)
    photos = employees.photo_urls(cursor, subject.employee) if subject.employee else []
    learned_templates.unlearn(cursor, [UUID(track) for track in subject.tracks])
    places = row_schemas(cursor.connection)
    for schema in places:
        cursor.execute(sql.SQL(_PATHS).format(sql.Identifier(schema, "snapshots")), asked)
        asked["paths"] = sorted({*asked["paths"], *(row[0] for row in cursor)})
    for schema in places:
        gone += _schema(cursor, schema, asked)
    gone += _corrections(cursor, subject, asked)
    if subject.employee:
        gone += _employee(cursor, subject)
    _bar(cursor, subject, erasure)
    return gone, [*photos, *asked["paths"]]


def _asked(subject: Subject) -> dict[str, Any]:
    keys = [str(person) for person in subject.global_ids]
    return {
        "ids": list(subject.global_ids),
        "employee": subject.employee,
        "keys": [*keys, str(subject.employee)] if subject.employee else keys,
        "tracks": list(subject.tracks),
        "sightings": list(subject.sightings),
        "paths": [],
    }


def _schema(cursor: Cursor, schema: str, asked: dict[str, Any]) -> Counter[str]:
    gone: Counter[str] = Counter()
    there = _tables(cursor, schema)
    for table, condition in _ROWS.items():
        if table in there:
            delete = sql.SQL("DELETE FROM {} WHERE {}")
            place = sql.Identifier(schema, table)
            cursor.execute(delete.format(place, sql.SQL(condition)), asked)
            gone[f"{schema}.{table}"] += cursor.rowcount
    for mention in _MENTIONS:
        cursor.execute(sql.SQL(mention).format(sql.Identifier(schema, "access_logs")), asked)
    return gone


def _tables(cursor: Cursor, schema: str) -> set[str]:
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (schema,)
    )
    return {row[0] for row in cursor}


def _corrections(cursor: Cursor, subject: Subject, asked: dict[str, Any]) -> Counter[str]:
    """What people have said of them. Others hear that they differ from one person less."""
    gone: Counter[str] = Counter()
    cursor.execute(_DIFFERENT, asked)
    others = {row[0] for row in cursor} - set(subject.global_ids)
    cursor.execute(_GIVEN, asked)
    given = [f"track|{row[0]}" for row in cursor]
    for delete in _CORRECTED:
        cursor.execute(delete, asked)
        gone["public." + delete.split()[2]] += cursor.rowcount
    cursor.execute("SELECT correction_id, details FROM corrections")
    for said, details in cursor.fetchall():
        left = without(details, {*subject.global_ids, *subject.tracks, *subject.names})
        if left == details:
            continue
        cursor.execute(_UNUSED, {"said": said})
        gone["public.corrections"] += cursor.rowcount
        cursor.execute(
            "UPDATE corrections SET details = %s WHERE correction_id = %s",
            (json.dumps(left), said),
        )
    _take_back(cursor, FACTS.name, [f"track|{track}" for track in subject.tracks])
    enqueue_all(cursor, FACTS.name, [(key, None) for key in given])
    reference_facts.tell_persons(cursor, others)
    return gone


def without(details: dict[str, Any], theirs: Collection[str | int]) -> dict[str, Any]:
    """What a correction says without somebody: their ids, their tracks and their names."""
    left: dict[str, Any] = {}
    for name, value in details.items():
        if isinstance(value, list):
            left[name] = [one for one in value if one not in theirs]
        elif value not in theirs:
            left[name] = value
    return left


def _employee(cursor: Cursor, subject: Subject) -> Counter[str]:
    gone: Counter[str] = Counter()
    for table, column in (("face_templates", "employee_id"), ("employees", "id")):
        delete = sql.SQL("DELETE FROM {} WHERE {} = %s")
        delete_theirs = delete.format(sql.Identifier(table), sql.Identifier(column))
        cursor.execute(delete_theirs, (subject.employee,))
        gone[f"public.{table}"] += cursor.rowcount
    return gone


def _bar(cursor: Cursor, subject: Subject, erasure: UUID) -> None:
    """Tell the matchers, and have the sinks write nothing down that still comes of them."""
    cursor.execute(
        "INSERT INTO erased_persons SELECT unnest(%s::bigint[]), %s ON CONFLICT DO NOTHING",
        (list(subject.global_ids), erasure),
    )
    suppression_list.bar(cursor, subject.tracks, erasure)
    employee = [str(subject.employee)] if subject.employee else []
    _take_back(cursor, GALLERY.name, employee)
    markers = [marker(person) for person in subject.global_ids]
    _take_back(cursor, FACTS.name, [key for key, _fact in markers])
    for person in employee:
        enqueue(cursor, GALLERY.name, person, None)
    enqueue_all(cursor, FACTS.name, markers)


def _take_back(cursor: Cursor, topic: str, keys: Iterable[str]) -> None:
    """What waits to be published of these keys is not."""
    cursor.execute(
        "DELETE FROM outbox WHERE topic = %s AND key = ANY(%b::bytea[])",
        (topic, [key.encode() for key in keys]),
    )


def marker(person: int, tracks: Iterable[str] = ()) -> tuple[str, bytes]:
    """The fact that somebody was erased: an id, so that nobody takes up again what still comes.

    `tracks`: that were theirs by the word of people, and that a matcher has.
    """
    said = pb.PersonCorrection(global_id=person, forgotten=True, erased=True, erased_tracks=tracks)
    return f"person|{person}", pb.Fact(person=said).SerializeToString(deterministic=True)
