"""Operators' corrections of persons: name, merge, split, "not this person", forget.

Each correction runs in the caller's transaction and writes the history, the overlay that is
applied to later decisions, all rows that were written before, and the facts for the matchers. A
transaction with two corrections, or with other changes of enrolled people, begins with
`overlay.lock`.

The latest correction wins: merging two persons removes a cannot-link between them.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from schemas import ids
from sightline.people import (
    cannot_link,
    employees,
    identity_corrections,
    learned_templates,
    reference_facts,
    relabel,
)
from sightline.people.identity_corrections import PersonIdentity
from sightline.people.names import checked_name
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Cursor
from sightline.storage.run_schemas import delete_embeddings

_MAX_GLOBAL_ID = 2**63 - 1

_EXISTS = """
SELECT EXISTS (SELECT FROM detected_persons WHERE global_id = %(person)s)
    OR EXISTS (SELECT FROM person_tracks WHERE global_id = %(person)s)
    OR EXISTS (SELECT FROM access_logs WHERE global_id = %(person)s)
    OR EXISTS (SELECT FROM employees WHERE global_id = %(person)s)
    OR EXISTS (SELECT FROM person_names WHERE global_id = %(person)s)
    OR EXISTS (SELECT FROM person_aliases WHERE global_id = %(person)s)
"""

_TRACKS_OF = """
SELECT DISTINCT track_uuid FROM access_logs WHERE global_id = %(person)s
UNION SELECT track_uuid FROM person_tracks WHERE global_id = %(person)s
"""

# A track may have been decided for several persons in turn: the latest comes first.
_DECIDED_PERSONS = """
SELECT global_id FROM (
    SELECT epoch, global_id FROM access_logs WHERE track_uuid = %(track)s
    UNION ALL SELECT epoch, global_id FROM person_tracks WHERE track_uuid = %(track)s
) AS decided ORDER BY epoch DESC NULLS LAST
"""


def resolve(cursor: Cursor, global_id: int) -> int:
    """Return the global id that a person was merged into, or their own.

    Raises NotFoundError if there is no such person.
    """
    if not 0 < global_id <= _MAX_GLOBAL_ID:
        raise NotFoundError(f"there is no person {global_id}")
    if cursor.execute(_EXISTS, {"person": global_id}).fetchone() != (True,):
        raise NotFoundError(f"there is no person {global_id}; see `sightline persons list`")
    return identity_corrections.merged_into(cursor, global_id)


def name_person(cursor: Cursor, global_id: int, name: str, made_by: str | None = None) -> None:
    """Name an unknown person, in all logs as well.

    Raises NotFoundError, ConflictError for an enrolled or merged person and for an employee's
    name, SightlineError for an invalid name.
    """
    name = checked_name(name)
    identity_corrections.lock_exclusive(cursor)
    identity = _person(cursor, global_id)
    if identity.employee_id:
        raise ConflictError(f"{global_id} is enrolled as {identity.name}: that is their name")
    _refuse_name_of_enrolled(cursor, name)
    correction_id = _record(cursor, "name", made_by, global_id=global_id, name=name)
    _set_name(cursor, global_id, name, correction_id)
    relabel.relabel_person(cursor, global_id, _identity(cursor, global_id))
    reference_facts.publish_persons(cursor, [global_id])


def merge(cursor: Cursor, source: int, target: int, made_by: str | None = None) -> None:
    """Merge an unknown person into another person or an employee.

    All rows of `source` become rows of `target`. An employee also learns the templates of `source`
    that agree with the photos. A cannot-link between the two is removed. Raises NotFoundError, and
    ConflictError for a merge that is not possible.
    """
    identity_corrections.lock_exclusive(cursor)
    if source == target:
        raise ConflictError(f"{source} is the same person already")
    from_identity, into_identity = _person(cursor, source), _person(cursor, target)
    if from_identity.employee_id:
        raise ConflictError(
            f"{from_identity.name} is enrolled and cannot be merged into another: merge the other"
            " into them, or remove them first"
        )
    correction_id = _record(cursor, "merge", made_by, source=source, target=target)
    touched = {source, target, *_redirect(cursor, source, target, correction_id)}
    touched |= cannot_link.transfer(cursor, source, target, correction_id)
    _move_name(cursor, from_identity, into_identity, correction_id)
    if into_identity.employee_id and learned_templates.learn(
        cursor, source, UUID(into_identity.employee_id)
    ):
        employees.publish(cursor, UUID(into_identity.employee_id))
    merged_identity = _identity(cursor, target)
    if merged_identity != into_identity:
        relabel.relabel_person(cursor, target, merged_identity)
    relabel.relabel_person(cursor, source, merged_identity)
    reference_facts.publish_persons(cursor, touched)


def split(
    cursor: Cursor, global_id: int, tracks: Sequence[UUID], made_by: str | None = None
) -> int:
    """Give some of a person's tracks to a new unknown person; return the new global id.

    Raises NotFoundError, and ConflictError for no tracks, for tracks of other persons and, unless
    the person is enrolled, for all tracks of the person.
    """
    identity_corrections.lock_exclusive(cursor)
    identity = _person(cursor, global_id)
    chosen = list(dict.fromkeys(tracks))
    if not chosen:
        raise ConflictError("give the tracks that were somebody else")
    person_tracks = {row[0] for row in cursor.execute(_TRACKS_OF, {"person": global_id})}
    for track in chosen:
        if track not in person_tracks:
            raise ConflictError(f"track {track} is none of person {global_id}")
    if len(chosen) == len(person_tracks) and not identity.employee_id:
        raise ConflictError(f"these are all tracks of person {global_id}: nothing would be left")
    return _separate(cursor, "split", [global_id], chosen, made_by)


def reject_identity(cursor: Cursor, track: UUID, made_by: str | None = None) -> int:
    """Reject the identity of a track; return the global id of the new unknown person.

    The two get a cannot-link. Raises NotFoundError for an unknown track, and ConflictError for a
    track without an identity.
    """
    identity_corrections.lock_exclusive(cursor)
    decided = [row[0] for row in cursor.execute(_DECIDED_PERSONS, {"track": track})]
    if not decided:
        raise NotFoundError(f"there is no track {track}")
    persons = [person for person in decided if person]
    if not persons:
        raise ConflictError(f"track {track} has no identity yet")
    return _separate(cursor, "not-this-person", persons, [track], made_by)


def forget(cursor: Cursor, global_id: int, made_by: str | None = None) -> None:
    """Delete an unknown person's embeddings and name; the logs keep their rows.

    Raises NotFoundError, and ConflictError for an enrolled or merged person.
    """
    identity_corrections.lock_exclusive(cursor)
    identity = _person(cursor, global_id)
    if identity.employee_id:
        raise ConflictError(
            f"{identity.name} is enrolled: `sightline employees remove` forgets them"
        )
    _record(cursor, "forget", made_by, global_id=global_id)
    cursor.execute("DELETE FROM person_names WHERE global_id = %s", (global_id,))
    cursor.execute(
        "UPDATE person_tracks SET embedding = NULL, embedding_sealed = NULL WHERE global_id = %s"
        " RETURNING track_uuid",
        (global_id,),
    )
    tracks = [row[0] for row in cursor.fetchall()]
    delete_embeddings(cursor, global_id)
    if identity.name:
        relabel.relabel_person(cursor, global_id, _identity(cursor, global_id))
    relabel.recompute(cursor, [global_id])
    reference_facts.publish_tracks(cursor, tracks)
    reference_facts.publish_persons(cursor, [global_id])


def _separate(
    cursor: Cursor,
    kind: str,
    former_persons: Sequence[int],
    tracks: Sequence[UUID],
    made_by: str | None,
) -> int:
    """Give tracks to a new person with a cannot-link to each of their former persons."""
    correction_id = uuid4()
    # Derived from the correction: the id of a track's own person may have been merged already.
    new = ids.global_id(str(correction_id))
    different = {*former_persons, *cannot_link.rejected_persons(cursor, tracks)}
    _record(
        cursor, kind, made_by, correction_id, global_id=former_persons[0], new=new,
        tracks=list(map(str, tracks)), different=sorted(different),
    )  # fmt: skip
    cursor.execute(
        "INSERT INTO track_corrections (track_uuid, global_id, correction_id)"
        " SELECT track, %s, %s FROM unnest(%s::uuid[]) AS track"
        " ON CONFLICT (track_uuid) DO UPDATE SET"
        " (global_id, correction_id) = (excluded.global_id, excluded.correction_id)",
        (new, correction_id, list(tracks)),
    )
    cannot_link.add(cursor, new, different, correction_id)
    affected = _persons_of(cursor, tracks)
    relabel.relabel_tracks(cursor, tracks, _identity(cursor, new))
    relabel.recompute(cursor, {*affected, new})
    learned_templates.unlearn(cursor, tracks)
    reference_facts.publish_tracks(cursor, tracks)
    reference_facts.publish_persons(cursor, {*different, new})
    return new


def _person(cursor: Cursor, global_id: int) -> PersonIdentity:
    """Return the identity of a person who is neither merged nor forgotten."""
    current_id = resolve(cursor, global_id)
    if current_id != global_id:
        raise ConflictError(f"person {global_id} has been merged into {current_id}")
    identity = identity_corrections.identities_of(cursor, [global_id])[global_id]
    if identity.is_forgotten:
        raise NotFoundError(f"person {global_id} has been forgotten")
    return identity


def _identity(cursor: Cursor, global_id: int) -> PersonIdentity:
    return identity_corrections.identities_of(cursor, [global_id])[global_id]


def _record(
    cursor: Cursor,
    kind: str,
    made_by: str | None,
    correction_id: UUID | None = None,
    **details: Any,
) -> UUID:
    """Write the history; return the correction's id."""
    correction_id = correction_id or uuid4()
    cursor.execute(
        "INSERT INTO corrections (correction_id, kind, details, made_by) VALUES (%s, %s, %s, %s)",
        (correction_id, kind, json.dumps(details), made_by),
    )
    return correction_id


def _refuse_name_of_enrolled(cursor: Cursor, name: str) -> None:
    cursor.execute("SELECT name FROM employees WHERE lower(name) = lower(%s) LIMIT 1", (name,))
    if row := cursor.fetchone():
        raise ConflictError(f"{row[0]} is enrolled: merge the person into them instead")


def _set_name(cursor: Cursor, global_id: int, name: str, correction_id: UUID) -> None:
    cursor.execute(
        "INSERT INTO person_names (global_id, name, correction_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (global_id) DO UPDATE SET"
        " (name, correction_id) = (excluded.name, excluded.correction_id)",
        (global_id, name, correction_id),
    )


def _redirect(cursor: Cursor, source: int, target: int, correction_id: UUID) -> list[int]:
    """Alias a person and all persons merged into them before; return the latter."""
    cursor.execute(
        "UPDATE person_aliases SET into_global_id = %s WHERE into_global_id = %s"
        " RETURNING global_id",
        (target, source),
    )
    redirected = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        "INSERT INTO person_aliases (global_id, into_global_id, correction_id) VALUES (%s, %s, %s)",
        (source, target, correction_id),
    )
    return redirected


def _move_name(
    cursor: Cursor, source: PersonIdentity, target: PersonIdentity, correction_id: UUID
) -> None:
    """Move the name of the merged person to the target if that has none."""
    cursor.execute("DELETE FROM person_names WHERE global_id = %s", (source.global_id,))
    if source.name and not target.name:
        _set_name(cursor, target.global_id, source.name, correction_id)


def _persons_of(cursor: Cursor, tracks: Sequence[UUID]) -> set[int]:
    cursor.execute(
        "SELECT DISTINCT global_id FROM person_tracks WHERE track_uuid = ANY(%s)"
        " AND global_id IS NOT NULL",
        (list(tracks),),
    )
    return {row[0] for row in cursor}
