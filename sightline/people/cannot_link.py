"""Cannot-links between persons: the table `not_same`, updated when persons are merged."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sightline.storage.db import Cursor


def add(cursor: Cursor, person: int, others: Iterable[int], correction_id: UUID) -> None:
    """Add cannot-links between a person and others, made by a correction."""
    cursor.executemany(
        "INSERT INTO not_same (global_id, other_global_id, correction_id) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [(min(person, other), max(person, other), correction_id) for other in sorted(others)],
    )


def transfer(cursor: Cursor, source: int, target: int, correction_id: UUID) -> set[int]:
    """Move a merged person's cannot-links to the target; return the other persons of the links."""
    cursor.execute(
        "DELETE FROM not_same WHERE %(source)s IN (global_id, other_global_id)"
        " RETURNING CASE global_id WHEN %(source)s THEN other_global_id ELSE global_id END",
        {"source": source},
    )
    others = {row[0] for row in cursor.fetchall()}
    add(cursor, target, others - {target}, correction_id)
    return others


def rejected_persons(cursor: Cursor, tracks: Sequence[UUID]) -> set[int]:
    """Return the current global ids of persons that earlier corrections ruled out for tracks."""
    cursor.execute(
        "SELECT track_uuid::text FROM track_corrections WHERE track_uuid = ANY(%s)", (list(tracks),)
    )
    corrected = [row[0] for row in cursor]
    if not corrected:
        return set()  # the usual case: the history need not be read
    cursor.execute(
        "SELECT DISTINCT coalesce(alias.into_global_id, rejected.person) FROM ("
        " SELECT jsonb_array_elements_text(details -> 'different')::bigint AS person"
        " FROM corrections"
        " WHERE kind IN ('split', 'not-this-person') AND details -> 'tracks' ?| %s::text[]"
        ") AS rejected LEFT JOIN person_aliases alias ON alias.global_id = rejected.person",
        (corrected,),
    )
    return {row[0] for row in cursor}
