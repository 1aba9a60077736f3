"""Rules that the sinks share: the decision in force, corrections, cameras, and locks."""

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.naming import LockKind, lock_number
from sightline.people import identity_corrections, suppression_list
from sightline.people.identity_corrections import PersonIdentity
from sightline.runtime.errors import PoisonRecord
from sightline.storage.db import Cursor
from sinks.runtime.sink import DecodedRecord

M = TypeVar("M", bound=Message)

PATH_LOCK = LockKind.SNAPSHOT_PATH
"""Lock of a sighting id while its access row or its snapshot is written: the second of two
writers sees the row of the first."""

ENDED, CONFIRMED, CHANGED = 1, 2, 3
"""Rank of decisions of one moment. The end of a track repeats its identity: that fills in missing
values and replaces nothing. A track without identity replaces what was decided of it."""

_RANKS = {
    pb.Sighting.ENDED: ENDED,
    pb.Sighting.CONFIRMED: CONFIRMED,
    pb.Sighting.CHANGED: CHANGED,
    pb.Sighting.UNIDENTIFIED: CHANGED,
    pb.Sighting.FIXTURE: CHANGED,
}


def new_sightings(batch: Iterable[DecodedRecord]) -> list[pb.Sighting]:
    """Return the sightings of a batch that do not repeat an earlier one, in order."""
    return [sighting for sighting in messages(batch, pb.Sighting) if not sighting.again]


def messages(batch: Iterable[DecodedRecord], kind: type[M]) -> list[M]:
    """Return the messages of one kind, in order."""
    return [decoded.message for decoded in batch if isinstance(decoded.message, kind)]


def rank(sighting: pb.Sighting) -> int:
    """Return ENDED, CONFIRMED or CHANGED for a sighting that is not provisional."""
    return _RANKS[sighting.status]


def person_of(sighting: pb.Sighting) -> int | None:
    """Return the global id for the tables: 0 revokes a decision, None is of a track without one."""
    is_unidentified = sighting.status == pb.Sighting.UNIDENTIFIED and not sighting.global_id
    return None if is_unidentified else sighting.global_id


def decisions_in_force(sightings: Iterable[pb.Sighting]) -> list[pb.Sighting]:
    """Return the decision in force of each sighting id, in order of decision time.

    Provisional sightings are left out. A decision with global id 0 revokes the earlier one.
    Raises InvalidRecord for a confirmed sighting without a person.
    """
    latest: dict[str, pb.Sighting] = {}
    for sighting in sightings:
        if sighting.status == pb.Sighting.PROVISIONAL:
            continue
        if sighting.status == pb.Sighting.CONFIRMED and not sighting.global_id:
            raise PoisonRecord("no_identity", f"sighting {sighting.sighting_id} of nobody")
        if sighting.status == pb.Sighting.ENDED and not sighting.global_id:
            continue
        earlier = latest.get(sighting.sighting_id)
        is_repetition = sighting.status == pb.Sighting.ENDED
        if earlier is None or (not is_repetition and _order(sighting) >= _order(earlier)):
            latest[sighting.sighting_id] = sighting
    return sorted(
        latest.values(), key=lambda sighting: (sighting.decided_at_us, sighting.sighting_id)
    )


def with_corrections(cursor: Cursor, sightings: Sequence[pb.Sighting]) -> list[pb.Sighting]:
    """Return decisions as operators have corrected them, without those of erased people.

    Unknown persons get the names that they were given. No correction is made from this call, the
    first of a sink's transaction, to the end of that transaction. A correction of a track holds
    whatever the matcher decides later, also when it revokes its decision.
    """
    identity_corrections.lock_shared(cursor)
    decisions = [(sighting.track_id, sighting.global_id) for sighting in sightings]
    persons = identity_corrections.corrected_persons(cursor, decisions) if decisions else []
    identities = [(track, person) for (track, _), person in zip(decisions, persons, strict=True)]
    erased = suppression_list.erased_tracks_of(cursor, identities) if decisions else set()
    people = identity_corrections.identities_of(cursor, [person for person in persons if person])
    return [
        _with_identity(sighting, people[person]) if person else sighting
        for sighting, person in zip(sightings, persons, strict=True)
        if sighting.track_id not in erased
    ]


def _with_identity(sighting: pb.Sighting, identity: PersonIdentity) -> pb.Sighting:
    if sighting.person_id and sighting.global_id == identity.global_id:
        return sighting  # with the name and the authorisation of its own time
    corrected = pb.Sighting()
    corrected.CopyFrom(sighting)
    corrected.global_id = identity.global_id
    corrected.person_id = identity.employee_id
    corrected.name = identity.name
    corrected.is_authorized = identity.is_authorized
    if identity.is_forgotten:
        corrected.ClearField("template")
    return corrected


def _order(sighting: pb.Sighting) -> tuple[int, int]:
    return sighting.decided_at_us, rank(sighting)


def entry_points(cursor: Cursor, camera_ids: Collection[str]) -> dict[str, str | None]:
    """Return the entry points of cameras by id. Raises InvalidRecord when a camera is unknown."""
    cursor.execute(
        "SELECT camera_id, entry_point FROM cameras WHERE camera_id = ANY(%s)",
        (list(set(camera_ids)),),
    )
    points: dict[str, str | None] = dict(cursor.fetchall())
    for camera in camera_ids:
        if camera not in points:
            raise PoisonRecord("unknown_camera", f"there is no camera {camera}")
    return points


def lock(cursor: Cursor, kind: str, names: Iterable[str]) -> None:
    """Take the locks of names of a kind, waiting for them, until the transaction ends.

    All transactions take them in one order, so that two workers never wait for each other.
    """
    keys = sorted({lock_number(kind, name) for name in names})
    cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", (keys,))
