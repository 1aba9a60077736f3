"""What the sinks share: which decision counts, which cameras there are, who works on what."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.naming import LockKind, lock_number
from sightline.people import identity_corrections, suppression_list
from sightline.people.identity_corrections import Who
from sightline.runtime.errors import InvalidRecord
from sightline.streaming.sink_loop import Cursor, Taken

M = TypeVar("M", bound=Message)

PATH_LOCK = LockKind.SNAPSHOT_PATH
"""Held by sighting id while its access row or its snapshot is written: whoever comes second
sees the other's row."""

ENDED, CONFIRMED, CHANGED = 1, 2, 3
"""Rank of decisions of one moment. An ended track tells its identity once more: that fills
in what is missing and replaces nothing."""

_RANKS = {pb.Sighting.ENDED: ENDED, pb.Sighting.CONFIRMED: CONFIRMED, pb.Sighting.CHANGED: CHANGED}


@dataclass(frozen=True, slots=True)
class Camera:
    """What a row says about its camera."""

    entry_point: str | None
    room_id: str | None


def news(batch: Iterable[Taken]) -> list[pb.Sighting]:
    """The sightings that say something for the first time, in order."""
    return [one for one in messages(batch, pb.Sighting) if not one.again]


def messages(batch: Iterable[Taken], kind: type[M]) -> list[M]:
    """The messages of one kind, in order."""
    return [taken.message for taken in batch if isinstance(taken.message, kind)]


def rank(sighting: pb.Sighting) -> int:
    """ENDED, CONFIRMED or CHANGED, of a sighting that is not provisional."""
    return _RANKS[sighting.status]


def decided(sightings: Iterable[pb.Sighting]) -> list[pb.Sighting]:
    """The decision in force of each sighting id, in the order of their making.

    Provisional ones say nothing yet. A decision with global id 0 takes its forerunner back.
    Raises InvalidRecord for one that says that it is sure and not of whom.
    """
    in_force: dict[str, pb.Sighting] = {}
    for sighting in sightings:
        if sighting.status == pb.Sighting.PROVISIONAL:
            continue
        if sighting.status == pb.Sighting.CONFIRMED and not sighting.global_id:
            raise InvalidRecord("no_identity", f"sighting {sighting.sighting_id} of nobody")
        if sighting.status == pb.Sighting.ENDED and not sighting.global_id:
            continue
        earlier = in_force.get(sighting.sighting_id)
        if earlier is None or _replaces(sighting, earlier):
            in_force[sighting.sighting_id] = sighting
    return sorted(in_force.values(), key=lambda one: (one.decided_at_us, one.sighting_id))


def corrected(cursor: Cursor, sightings: Sequence[pb.Sighting]) -> list[pb.Sighting]:
    """The same decisions, each of whom people say that it was, with the names of strangers.

    Those of people who were erased are left out.

    No correction is made from here to the end of the transaction: the first thing that a sink
    does. What people have said of a track holds whatever the matcher says later, and a decision
    that it takes back stays theirs.
    """
    identity_corrections.share(cursor)
    asked = [(one.track_id, one.global_id) for one in sightings]
    persons = identity_corrections.effective(cursor, asked) if asked else []
    told = [(track, who) for (track, _), who in zip(asked, persons, strict=True)]
    gone = suppression_list.said_of(cursor, told) if asked else set()
    people = identity_corrections.people(cursor, [person for person in persons if person])
    return [
        _as_said(one, people[person]) if person else one
        for one, person in zip(sightings, persons, strict=True)
        if one.track_id not in gone
    ]


def _as_said(sighting: pb.Sighting, who: Who) -> pb.Sighting:
    if sighting.person_id and sighting.global_id == who.global_id:
        return sighting  # as they were called and allowed at that time
    said = pb.Sighting()
    said.CopyFrom(sighting)
    said.global_id = who.global_id
    said.person_id = who.employee_id
    said.name = who.name
    said.is_authorized = who.is_authorized
    if who.is_forgotten:
        said.ClearField("template")
    return said


def _replaces(later: pb.Sighting, earlier: pb.Sighting) -> bool:
    return rank(later) != ENDED and _order(later) >= _order(earlier)


def _order(sighting: pb.Sighting) -> tuple[int, int]:
    return sighting.decided_at_us, rank(sighting)


def cameras(cursor: Cursor, wanted: Collection[str]) -> dict[str, Camera]:
    """The cameras with these ids. Raises InvalidRecord when one of them is unknown."""
    cursor.execute(
        "SELECT camera_id, entry_point, room_id FROM cameras WHERE camera_id = ANY(%s)",
        (list(set(wanted)),),
    )
    found = {camera: Camera(entry_point, room) for camera, entry_point, room in cursor}
    for camera in wanted:
        if camera not in found:
            raise InvalidRecord("unknown_camera", f"there is no camera {camera}")
    return found


def lock(cursor: Cursor, what: str, names: Iterable[str]) -> None:
    """Wait until nobody else works on these, and keep them until the transaction ends.

    Taken in one order by everybody, so that two workers never wait for each other.
    """
    keys = sorted({lock_number(what, name) for name in names})
    cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", (keys,))
