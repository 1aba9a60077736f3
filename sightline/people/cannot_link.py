"""Who is not who, however alike: `not_same`, kept right when people are merged."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sightline.people.identity_corrections import Cursor


def declare(cursor: Cursor, person: int, others: Iterable[int], said: UUID) -> None:
    """Say that a person is none of others, by a correction."""
    cursor.executemany(
        "INSERT INTO not_same (global_id, other_global_id, correction_id) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [(min(person, other), max(person, other), said) for other in sorted(others)],
    )


def take_over(cursor: Cursor, source: int, target: int, said: UUID) -> set[int]:
    """Whoever was not the one is not the other, but for the two themselves; those people."""
    cursor.execute(
        "DELETE FROM not_same WHERE %(source)s IN (global_id, other_global_id)"
        " RETURNING CASE global_id WHEN %(source)s THEN other_global_id ELSE global_id END",
        {"source": source},
    )
    others = {row[0] for row in cursor.fetchall()}
    declare(cursor, target, others - {target}, said)
    return others


def denied_before(cursor: Cursor, tracks: Sequence[UUID]) -> set[int]:
    """The people whom these tracks were said not to be, by the ids that they have now."""
    cursor.execute(
        "SELECT track_uuid::text FROM track_corrections WHERE track_uuid = ANY(%s)",
        (list(tracks),),
    )
    corrected = [row[0] for row in cursor]
    if not corrected:
        return set()  # as ever: the history need not be read
    cursor.execute(
        "SELECT DISTINCT coalesce(alias.into_global_id, said.person) FROM ("
        " SELECT jsonb_array_elements_text(details -> 'different')::bigint AS person"
        " FROM corrections"
        " WHERE kind IN ('split', 'not-this-person') AND details -> 'tracks' ?| %s::text[]"
        ") AS said LEFT JOIN person_aliases alias ON alias.global_id = said.person",
        (corrected,),
    )
    return {row[0] for row in cursor}
