"""What people say of persons: named, merged, split, "not this person", forgotten.

Each correction is one transaction of the caller: the history, the overlay that later decisions
are read through, all rows that were written before, and the facts that matchers are told. Who
calls two of them, or other changes of enrolled people, in one transaction begins it with
`overlay.lock`.

A later word wins: merging two who were said to be different takes that back.
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
from sightline.people.identity_corrections import Cursor, Who
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.run_schemas import forget_faces

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

# A track may have been one person at first and another later: the last comes first.
_WHOSE = """
SELECT global_id FROM (
    SELECT epoch, global_id FROM access_logs WHERE track_uuid = %(track)s
    UNION ALL SELECT epoch, global_id FROM person_tracks WHERE track_uuid = %(track)s
) AS said ORDER BY epoch DESC NULLS LAST
"""


def resolve(cursor: Cursor, global_id: int) -> int:
    """Who somebody is now: whom they were merged into, or themselves.

    Raises NotFoundError where nobody has this id.
    """
    if not 0 < global_id <= _MAX_GLOBAL_ID:
        raise NotFoundError(f"there is no person {global_id}")
    cursor.execute(_EXISTS, {"person": global_id})
    if cursor.fetchone() != (True,):
        raise NotFoundError(f"there is no person {global_id}; see `sightline persons list`")
    return identity_corrections.alias_of(cursor, global_id)


def name_person(cursor: Cursor, global_id: int, name: str, made_by: str | None = None) -> None:
    """Give a name to somebody whom nobody has enrolled; the logs say it from now on.

    Raises NotFoundError, ConflictError for enrolled or merged people and for the name of
    somebody enrolled, SightlineError for what is no name.
    """
    name = employees.checked_name(name)
    identity_corrections.lock(cursor)
    who = _person(cursor, global_id)
    if who.employee_id:
        raise ConflictError(f"{global_id} is enrolled as {who.name}: that is their name")
    _refuse_name_of_enrolled(cursor, name)
    said = _record(cursor, "name", made_by, global_id=global_id, name=name)
    _set_name(cursor, global_id, name, said)
    relabel.person(cursor, global_id, _named(cursor, global_id))
    reference_facts.tell_persons(cursor, [global_id])


def merge(cursor: Cursor, source: int, target: int, made_by: str | None = None) -> None:
    """Say that a stranger is the same person as another, or as somebody enrolled.

    Everything of the first is the second's from now on. Merged into somebody enrolled, the looks
    that agree with the photos become theirs. That the two are different, if somebody has said so,
    is taken back. Raises NotFoundError, and ConflictError where that cannot be.
    """
    identity_corrections.lock(cursor)
    if source == target:
        raise ConflictError(f"{source} is the same person already")
    one, other = _person(cursor, source), _person(cursor, target)
    if one.employee_id:
        raise ConflictError(
            f"{one.name} is enrolled and cannot be merged into another: merge the other into them,"
            " or remove them first"
        )
    said = _record(cursor, "merge", made_by, source=source, target=target)
    touched = {source, target, *_redirect(cursor, source, target, said)}
    touched |= cannot_link.take_over(cursor, source, target, said)
    _take_over_name(cursor, one, other, said)
    if other.employee_id and learned_templates.learn(cursor, source, UUID(other.employee_id)):
        employees.publish(cursor, UUID(other.employee_id))
    now = _named(cursor, target)
    if now != other:
        relabel.person(cursor, target, now)
    relabel.person(cursor, source, now)
    reference_facts.tell_persons(cursor, touched)


def split(
    cursor: Cursor, global_id: int, tracks: Sequence[UUID], made_by: str | None = None
) -> int:
    """Say that some of a person's tracks were somebody else: the global id of that one.

    Raises NotFoundError, and ConflictError for no tracks, for others' and, unless the person is
    enrolled, for all of theirs.
    """
    identity_corrections.lock(cursor)
    who = _person(cursor, global_id)
    chosen = list(dict.fromkeys(tracks))
    if not chosen:
        raise ConflictError("give the tracks that were somebody else")
    cursor.execute(_TRACKS_OF, {"person": global_id})
    theirs = {row[0] for row in cursor}
    for track in chosen:
        if track not in theirs:
            raise ConflictError(f"track {track} is none of person {global_id}")
    if len(chosen) == len(theirs) and not who.employee_id:
        raise ConflictError(f"these are all tracks of person {global_id}: nothing would be left")
    return _part(cursor, "split", [global_id], chosen, made_by)


def not_this_person(cursor: Cursor, track: UUID, made_by: str | None = None) -> int:
    """Say that a track was not whom the logs name: the global id of whoever it was.

    The two are never taken for each other again. Raises NotFoundError for an unknown track, and
    ConflictError for one that has not been said to be anybody.
    """
    identity_corrections.lock(cursor)
    cursor.execute(_WHOSE, {"track": track})
    said = [row[0] for row in cursor]
    if not said:
        raise NotFoundError(f"there is no track {track}")
    named = [person for person in said if person]
    if not named:
        raise ConflictError(f"nobody has said yet who track {track} is")
    return _part(cursor, "not-this-person", named, [track], made_by)


def forget(cursor: Cursor, global_id: int, made_by: str | None = None) -> None:
    """Forget how a stranger looks and what they were called; the logs keep what happened.

    Raises NotFoundError, and ConflictError for enrolled or merged people.
    """
    identity_corrections.lock(cursor)
    who = _person(cursor, global_id)
    if who.employee_id:
        raise ConflictError(f"{who.name} is enrolled: `sightline employees remove` forgets them")
    _record(cursor, "forget", made_by, global_id=global_id)
    cursor.execute("DELETE FROM person_names WHERE global_id = %s", (global_id,))
    cursor.execute(
        "UPDATE person_tracks SET embedding = NULL, embedding_sealed = NULL WHERE global_id = %s"
        " RETURNING track_uuid",
        (global_id,),
    )
    tracks = [row[0] for row in cursor.fetchall()]
    forget_faces(cursor, global_id)
    if who.name:
        relabel.person(cursor, global_id, _named(cursor, global_id))
    relabel.recompute(cursor, [global_id])
    reference_facts.tell_tracks(cursor, tracks)
    reference_facts.tell_persons(cursor, [global_id])


def _part(
    cursor: Cursor, kind: str, were: Sequence[int], tracks: Sequence[UUID], made_by: str | None
) -> int:
    """Give tracks to a new person, who is none of those that they were."""
    said = uuid4()
    # Of the correction: a track's founding id may have been merged into somebody.
    new = ids.global_id(str(said))
    different = {*were, *cannot_link.denied_before(cursor, tracks)}
    _record(
        cursor, kind, made_by, said, global_id=were[0], new=new, tracks=list(map(str, tracks)),
        different=sorted(different),
    )  # fmt: skip
    cursor.execute(
        "INSERT INTO track_corrections (track_uuid, global_id, correction_id)"
        " SELECT track, %s, %s FROM unnest(%s::uuid[]) AS track"
        " ON CONFLICT (track_uuid) DO UPDATE SET"
        " (global_id, correction_id) = (excluded.global_id, excluded.correction_id)",
        (new, said, list(tracks)),
    )
    cannot_link.declare(cursor, new, different, said)
    before = _persons_of(cursor, tracks)
    relabel.tracks(cursor, tracks, _named(cursor, new))
    relabel.recompute(cursor, {*before, new})
    learned_templates.unlearn(cursor, tracks)
    reference_facts.tell_tracks(cursor, tracks)
    reference_facts.tell_persons(cursor, {*different, new})
    return new


def _person(cursor: Cursor, global_id: int) -> Who:
    """Somebody who can be corrected."""
    now = resolve(cursor, global_id)
    if now != global_id:
        raise ConflictError(f"person {global_id} has been merged into {now}")
    who = identity_corrections.people(cursor, [global_id])[global_id]
    if who.is_forgotten:
        raise NotFoundError(f"person {global_id} has been forgotten")
    return who


def _named(cursor: Cursor, global_id: int) -> Who:
    return identity_corrections.people(cursor, [global_id])[global_id]


def _record(
    cursor: Cursor, kind: str, made_by: str | None, said: UUID | None = None, **details: Any
) -> UUID:
    """Write the history."""
    said = said or uuid4()
    cursor.execute(
        "INSERT INTO corrections (correction_id, kind, details, made_by) VALUES (%s, %s, %s, %s)",
        (said, kind, json.dumps(details), made_by),
    )
    return said


def _refuse_name_of_enrolled(cursor: Cursor, name: str) -> None:
    cursor.execute("SELECT name FROM employees WHERE lower(name) = lower(%s) LIMIT 1", (name,))
    if row := cursor.fetchone():
        raise ConflictError(f"{row[0]} is enrolled: merge the person into them instead")


def _set_name(cursor: Cursor, global_id: int, name: str, said: UUID) -> None:
    cursor.execute(
        "INSERT INTO person_names (global_id, name, correction_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (global_id) DO UPDATE SET"
        " (name, correction_id) = (excluded.name, excluded.correction_id)",
        (global_id, name, said),
    )


def _redirect(cursor: Cursor, source: int, target: int, said: UUID) -> list[int]:
    """Alias a person, and those who were merged into them before; these."""
    cursor.execute(
        "UPDATE person_aliases SET into_global_id = %s WHERE into_global_id = %s"
        " RETURNING global_id",
        (target, source),
    )
    before = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        "INSERT INTO person_aliases (global_id, into_global_id, correction_id) VALUES (%s, %s, %s)",
        (source, target, said),
    )
    return before


def _take_over_name(cursor: Cursor, source: Who, target: Who, said: UUID) -> None:
    """Who had no name is called what the other was."""
    cursor.execute("DELETE FROM person_names WHERE global_id = %s", (source.global_id,))
    if source.name and not target.name:
        _set_name(cursor, target.global_id, source.name, said)


def _persons_of(cursor: Cursor, tracks: Sequence[UUID]) -> set[int]:
    cursor.execute(
        "SELECT DISTINCT global_id FROM person_tracks WHERE track_uuid = ANY(%s)"
        " AND global_id IS NOT NULL",
        (list(tracks),),
    )
    return {row[0] for row in cursor}
