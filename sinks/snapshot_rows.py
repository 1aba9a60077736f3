"""Rows of the snapshot sink: owners of sightings, pending snapshots, and written ones."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row

from schemas import sightline_pb2 as pb
from schemas.naming import pending_snapshot_context, snapshot_key
from sightline.runtime.clock import to_datetime
from sightline.storage.db import Cursor, encryption_of
from sightline.storage.encryption import TamperedError
from sinks.sighting_rules import person_of, rank

log = logging.getLogger(__name__)

_PENDING = """
INSERT INTO pending_snapshots AS pending (sighting_id, captured_at, quality, jpeg)
VALUES (%s, %s, %s, %s)
ON CONFLICT (sighting_id) DO UPDATE SET
    (captured_at, quality, jpeg, arrived_at) =
    (excluded.captured_at, excluded.quality, excluded.jpeg, excluded.arrived_at)
WHERE pending.quality < excluded.quality
"""

_OWNER = """
INSERT INTO snapshot_owners AS owner (
    sighting_id, track_uuid, epoch, camera_id, motion_event_id, global_id, persons_name,
    decided_at, decision, prefix)
VALUES (%(sighting_id)s, %(track_uuid)s, %(epoch)s, %(camera_id)s, %(event_id)s, %(global_id)s,
    %(name)s, %(decided_at)s, %(decision)s, %(prefix)s)
ON CONFLICT (sighting_id) DO UPDATE SET
    (global_id, persons_name, decided_at, decision) =
    (excluded.global_id, excluded.persons_name, excluded.decided_at, excluded.decision)
WHERE excluded.decision > 1 -- the end of a track repeats its identity
    AND (owner.decided_at, owner.decision) <= (excluded.decided_at, excluded.decision)
"""

_INSERT = """
INSERT INTO snapshots (sighting_id, track_uuid, epoch, camera_id, global_id, decided_at,
    captured_at, quality, path, is_own)
VALUES (%(sighting_id)s, %(track_uuid)s, %(epoch)s, %(camera_id)s, %(global_id)s, %(decided_at)s,
    %(captured_at)s, %(quality)s, %(path)s, %(is_own)s)
"""

_NEIGHBOUR = """
SELECT global_id, captured_at, quality, path, is_own FROM snapshots
WHERE global_id = %(global_id)s AND is_own
    AND decided_at > %(at)s - %(within)s AND decided_at < %(at)s + %(within)s
ORDER BY decided_at LIMIT 1
"""

# Sightings whose person was corrected. Own pictures come before the rows that point to them.
_CORRECTED = """
WITH chosen AS (
    SELECT stale.sighting_id, coalesce(snapshot.is_own, false) AS is_own
    FROM stale_snapshots stale LEFT JOIN snapshots snapshot USING (sighting_id)
    ORDER BY 2 DESC, 1 LIMIT %s FOR UPDATE OF stale SKIP LOCKED
), taken AS (
    DELETE FROM stale_snapshots WHERE sighting_id IN (SELECT sighting_id FROM chosen)
)
SELECT sighting_id::text FROM chosen ORDER BY is_own DESC, sighting_id
"""

_ORPHANS = """
WITH orphans AS (
    DELETE FROM snapshots WHERE path = %s AND NOT is_own RETURNING sighting_id, decided_at
)
SELECT sighting_id::text FROM orphans ORDER BY decided_at, sighting_id
"""

_SITES = """
SELECT DISTINCT camera.site_id FROM snapshot_owners owner JOIN cameras camera USING (camera_id)
WHERE owner.sighting_id = ANY(%s::uuid[])
"""

_POINT = """
UPDATE access_logs log SET snapshot_path = snapshot.path
FROM unnest(%s::uuid[]) AS touched(id)
LEFT JOIN snapshots snapshot ON snapshot.sighting_id = touched.id
WHERE log.id = touched.id AND log.snapshot_path IS DISTINCT FROM snapshot.path
"""


@dataclass(frozen=True, slots=True)
class SnapshotOwner:
    """The person of a sighting, and the time of the decision."""

    sighting_id: str
    track_uuid: str
    epoch: int
    camera_id: str
    global_id: int | None
    """0: the decision was revoked; None: somebody unidentified."""
    persons_name: str | None
    decided_at: datetime
    prefix: str  # of the run's keys

    @property
    def key(self) -> str:
        """The key of its snapshot, which no other sighting has, not even of the same instant."""
        return snapshot_key(self.prefix, self.persons_name, self.decided_at, self.sighting_id)


@dataclass(frozen=True, slots=True)
class PendingSnapshot:
    """A snapshot whose person is not decided yet."""

    captured_at: datetime
    quality: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A row of `snapshots`."""

    global_id: int | None
    captured_at: datetime
    quality: float
    path: str
    is_own: bool


def rank_of(snapshot: pb.Snapshot) -> float:
    """Return the quality of a snapshot among all of its track: a face is better than any body."""
    return snapshot.quality - (snapshot.kind == pb.EVIDENCE_KIND_BODY)


def store_pending(cursor: Cursor, snapshots: Mapping[str, pb.Snapshot]) -> None:
    """Store the best snapshots of sightings, by sighting id, until their persons are decided."""
    encryption = encryption_of(cursor)
    rows = []
    for key, snapshot in snapshots.items():
        stored = encryption.encrypt(snapshot.jpeg, pending_snapshot_context(key))
        rows.append((key, to_datetime(snapshot.captured_at_us), rank_of(snapshot), stored))
    cursor.executemany(_PENDING, rows)


def store_as_pending(cursor: Cursor, sighting: str, written: SnapshotRow, jpeg: bytes) -> None:
    """Store the picture of a revoked snapshot as pending."""
    stored = encryption_of(cursor).encrypt(jpeg, pending_snapshot_context(sighting))
    cursor.execute(_PENDING, (sighting, written.captured_at, written.quality, stored))


def store_owners(cursor: Cursor, sightings: Iterable[pb.Sighting], prefix: str) -> None:
    """Store the persons of sightings, and the prefix of their snapshots' keys."""
    rows = [_owner_row(sighting) | {"prefix": prefix} for sighting in sightings]
    cursor.executemany(_OWNER, rows)


def take_corrected(cursor: Cursor, count: int) -> tuple[list[str], set[str]]:
    """Take up to `count` sightings whose person was corrected; return them and their sites."""
    corrected = [row[0] for row in cursor.execute(_CORRECTED, (count,))]
    return corrected, {row[0] for row in cursor.execute(_SITES, (corrected,))}


def write_paths(cursor: Cursor, sightings: Sequence[str]) -> None:
    """Write the paths of sightings' pictures to the access log."""
    cursor.execute(_POINT, (sightings,))


def owner_of(cursor: Cursor, sighting: str) -> SnapshotOwner | None:
    """Return the person of a sighting; None before it is decided."""
    with cursor.connection.cursor(row_factory=class_row(SnapshotOwner)) as rows:
        return rows.execute(
            "SELECT sighting_id::text, track_uuid::text, epoch, camera_id, global_id,"
            " persons_name, decided_at, prefix FROM snapshot_owners WHERE sighting_id = %s",
            (sighting,),
        ).fetchone()


def written_of(cursor: Cursor, sighting: str) -> SnapshotRow | None:
    """Return the snapshot of a sighting, if one was written."""
    with cursor.connection.cursor(row_factory=class_row(SnapshotRow)) as rows:
        return rows.execute(
            "SELECT global_id, captured_at, quality, path, is_own FROM snapshots"
            " WHERE sighting_id = %s",
            (sighting,),
        ).fetchone()


def pending_of(cursor: Cursor, sighting: str) -> PendingSnapshot | None:
    """Return the pending snapshot of a sighting, if there is one."""
    cursor.execute(
        "SELECT captured_at, quality, jpeg FROM pending_snapshots WHERE sighting_id = %s",
        (sighting,),
    )
    row = cursor.fetchone()
    if row is None:
        return None
    captured_at, quality, stored = row
    try:
        jpeg = encryption_of(cursor).decrypt(stored, pending_snapshot_context(sighting))
    except TamperedError as error:
        log.warning("snapshots: dropped: %s", error)
        drop_pending(cursor, sighting)
        return None
    return PendingSnapshot(captured_at, quality, jpeg)


def neighbour(cursor: Cursor, owner: SnapshotOwner, within: timedelta) -> SnapshotRow | None:
    """Return a snapshot of the same person whose decision is less than `within` away."""
    values = {"global_id": owner.global_id, "at": owner.decided_at, "within": within}
    with cursor.connection.cursor(row_factory=class_row(SnapshotRow)) as rows:
        return rows.execute(_NEIGHBOUR, values).fetchone()


def insert(cursor: Cursor, owner: SnapshotOwner, shown: PendingSnapshot | SnapshotRow) -> None:
    """Insert the row of a sighting's own picture, or of a neighbour's that it points to."""
    near = shown if isinstance(shown, SnapshotRow) else None
    picture = {"captured_at": shown.captured_at, "quality": shown.quality}
    place = {"path": near.path if near else owner.key, "is_own": near is None}
    cursor.execute(_INSERT, asdict(owner) | picture | place)


def orphans_of(cursor: Cursor, path: str) -> list[str]:
    """Delete the rows that point to a picture of another sighting; return their sightings.

    The earliest comes first: it gets the picture that the later ones point to.
    """
    return [row[0] for row in cursor.execute(_ORPHANS, (path,)).fetchall()]


def drop_pending(cursor: Cursor, sighting: str) -> None:
    """Delete the pending snapshot of a sighting."""
    cursor.execute("DELETE FROM pending_snapshots WHERE sighting_id = %s", (sighting,))


def _owner_row(sighting: pb.Sighting) -> dict[str, Any]:
    return {
        "sighting_id": sighting.sighting_id,
        "track_uuid": sighting.track_id,
        "epoch": sighting.epoch,
        "camera_id": sighting.camera_id,
        "event_id": sighting.motion_event_id,
        "global_id": person_of(sighting),
        "name": sighting.name or None,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rank(sighting),
    }
