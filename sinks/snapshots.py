"""Snapshots: the best shot of each track, named after the person once it is known who it was.

Two topics tell of a track, in either order: its best shot so far, and who it was. Both wait in
the database; when both are there the shot becomes an object. An object is written before the
rows that point to it are committed and deleted after, and its key follows from the decision,
so that doing it again writes the same object.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from psycopg.rows import class_row

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.topics import SIGHTINGS, SNAPSHOTS
from sightline import metrics
from sightline.clock import to_datetime
from sightline.kafka.sink import Cursor, SinkLoop, Taken
from sightline.lifecycle import start_service
from sightline.people import overlay
from sightline.settings import Settings
from sightline.store.objects import NoSuchObjectError, ObjectStore, open_store, safe_name
from sinks.decisions import PATH_LOCK, cameras, corrected, decided, lock, messages, rank

_CORRECTED_AT_ONCE = 100
"""Snapshots that get another name in one transaction, which keeps corrections waiting."""

_PENDING_FOR = timedelta(hours=1)
"""A shot whose person is not known by then is dropped; wall time since it arrived."""

_SHOT = """
INSERT INTO pending_snapshots AS pending (sighting_id, captured_at, quality, jpeg)
VALUES (%s, %s, %s, %s)
ON CONFLICT (sighting_id) DO UPDATE SET
    (captured_at, quality, jpeg, arrived_at) =
    (excluded.captured_at, excluded.quality, excluded.jpeg, excluded.arrived_at)
WHERE pending.quality < excluded.quality
"""

_OWNER = """
INSERT INTO snapshot_owners AS owner (
    sighting_id, track_uuid, epoch, camera_id, global_id, persons_name,
    decided_at, decision)
VALUES (%(sighting_id)s, %(track_uuid)s, %(epoch)s, %(camera_id)s, %(global_id)s, %(name)s,
    %(decided_at)s, %(decision)s)
ON CONFLICT (sighting_id) DO UPDATE SET
    (global_id, persons_name, decided_at, decision) =
    (excluded.global_id, excluded.persons_name, excluded.decided_at, excluded.decision)
WHERE excluded.decision > 1 -- one that only tells again
    AND (owner.decided_at, owner.decision) <= (excluded.decided_at, excluded.decision)
"""

_INSERT = """
INSERT INTO snapshots (sighting_id, track_uuid, epoch, camera_id, global_id, decided_at,
    captured_at, quality, path, is_own)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_NEIGHBOUR = """
SELECT global_id, captured_at, quality, path, is_own FROM snapshots
WHERE global_id = %(global_id)s AND is_own
    AND decided_at > %(at)s - %(within)s AND decided_at < %(at)s + %(within)s
ORDER BY decided_at LIMIT 1
"""

# Somebody has corrected who they were. Pictures come before those who point to them.
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
class Owner:
    """Who a track was."""

    sighting_id: str
    track_uuid: str
    epoch: int
    camera_id: str
    global_id: int
    persons_name: str | None
    decided_at: datetime

    @property
    def key(self) -> str:
        """The key of its snapshot: two tracks never share one, not even at the same instant."""
        at = self.decided_at
        time = f"{at:%H-%M-%S}.{at.microsecond // 1000:03d}_{self.sighting_id[:8]}"
        if self.persons_name is None:
            return f"unknown/{at:%Y-%m-%d}/{time}.jpg"
        return f"known/{safe_name(self.persons_name)}_{at:%Y-%m-%d}_{time}.jpg"


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that waits for its person."""

    captured_at: datetime
    quality: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A row of `snapshots`."""

    global_id: int
    captured_at: datetime
    quality: float
    path: str
    is_own: bool


class Snapshots:
    """Writes snapshots to the object store, `snapshots`, and the paths in `access_logs`."""

    name = "snapshots"
    topics: Mapping[str, type[Message]] = {
        SNAPSHOTS.name: pb.Snapshot,
        SIGHTINGS.name: pb.Sighting,
    }

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self.batch_seconds = settings.sinks.batch_seconds
        self._between = timedelta(seconds=settings.sinks.unknown_snapshot_seconds)
        self._store = store
        self._wrote = False

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Keep the shots and decisions of a batch, and write what has both."""
        self._wrote = True
        shots = best_shots(messages(batch, pb.Snapshot))
        sightings = corrected(cursor, decided(messages(batch, pb.Sighting)))
        both: list[pb.Snapshot | pb.Sighting] = [*shots.values(), *sightings]
        if not both:
            return
        cameras(cursor, {one.camera_id for one in both})
        stale = self._lock(cursor, {one.site_id for one in both})
        cursor.executemany(_SHOT, [_shot_row(key, shot) for key, shot in shots.items()])
        cursor.executemany(_OWNER, [_owner_row(one) for one in sightings])
        self._settle_all(cursor, [*stale, *(one.sighting_id for one in sightings), *shots])

    def idle(self, cursor: Cursor) -> None:
        """Rename what was corrected, drop shots that nobody came for, and delete the objects that
        nothing points to."""
        if not self._wrote:  # else that has been done, and its locks are no longer to be had
            overlay.share(cursor)
            self._settle_all(cursor, self._lock(cursor, ()))
        self._wrote = False
        cursor.execute(
            "DELETE FROM pending_snapshots WHERE arrived_at < now() - %s", (_PENDING_FOR,)
        )
        # Not those of this very transaction, which may not be committed yet.
        cursor.execute(
            "SELECT key FROM stale_objects WHERE stale_at < now() FOR UPDATE SKIP LOCKED"
        )
        for (key,) in cursor.fetchall():
            self._store.delete(key)
            cursor.execute("DELETE FROM stale_objects WHERE key = %s", (key,))

    def _lock(self, cursor: Cursor, sites: Iterable[str]) -> list[str]:
        """Lock sites, and those of some sightings whose owner was corrected; these sightings.

        The people of a site are decided together: nobody else writes a snapshot of theirs.
        """
        cursor.execute(_CORRECTED, (_CORRECTED_AT_ONCE,))
        stale = [row[0] for row in cursor.fetchall()]
        cursor.execute(_SITES, (stale,))
        lock(cursor, self.name, {*sites, *(row[0] for row in cursor.fetchall())})
        return stale

    def _settle_all(self, cursor: Cursor, touched: Sequence[str]) -> None:
        left = dict.fromkeys(touched, False)
        seen: set[str] = set()
        while left:
            one = next(iter(left))
            orphans = self._settle(cursor, one, is_orphan=left.pop(one))
            seen.add(one)
            left |= dict.fromkeys(orphans, True)
        # Only now: this lock is shared with the access log, which waits for no object store.
        lock(cursor, PATH_LOCK, seen)
        cursor.execute(_POINT, (sorted(seen),))

    def _settle(self, cursor: Cursor, sighting: str, *, is_orphan: bool) -> list[str]:
        """Bring one track's snapshot up to date; returns the tracks that pointed to it.

        An orphan has pointed to another's picture until now.
        """
        orphans: list[str] = []
        owner = _owner(cursor, sighting)
        written = _written(cursor, sighting)
        if written and not (owner and _still_right(written, owner)):
            is_orphan = not written.is_own
            if owner and written.is_own and written.path == owner.key:
                orphans = self._give(cursor, owner)
            else:
                orphans = self._take_back(cursor, sighting, written)
                written = None
        if owner and owner.global_id:
            shot = _pending(cursor, sighting)
            if written is None and (shot or is_orphan):
                self._write_first(cursor, owner, shot)
            elif shot and written and written.is_own:
                self._write_better(cursor, sighting, written, shot)
        return orphans

    def _give(self, cursor: Cursor, owner: Owner) -> list[str]:
        """Give a snapshot to another person by whose name it is called already."""
        cursor.execute(
            "UPDATE snapshots SET global_id = %s WHERE sighting_id = %s",
            (owner.global_id, owner.sighting_id),
        )
        return _orphans(cursor, owner.key)

    def _write_first(self, cursor: Cursor, owner: Owner, shot: Shot | None) -> None:
        """Write a picture, or point to that of a neighbour: an unknown person's that is too near
        for another, or any where there is none of this track any more."""
        alone = shot is not None and owner.persons_name is not None
        near = None if alone else self._neighbour(cursor, owner)
        shown = shot or near
        if shown is None:
            return
        if near is None and shot is not None:
            self._put(cursor, owner.key, shot.jpeg)
            _drop_pending(cursor, owner.sighting_id)
        cursor.execute(
            _INSERT,
            (
                owner.sighting_id,
                owner.track_uuid,
                owner.epoch,
                owner.camera_id,
                owner.global_id,
                owner.decided_at,
                shown.captured_at,
                shown.quality,
                near.path if near else owner.key,
                near is None,
            ),
        )
        metrics.ROWS.labels(self.name, "snapshots").inc()

    def _write_better(self, cursor: Cursor, sighting: str, written: Written, shot: Shot) -> None:
        _drop_pending(cursor, sighting)
        if shot.quality <= written.quality:
            return
        self._put(cursor, written.path, shot.jpeg)
        cursor.execute(
            "UPDATE snapshots SET captured_at = %s, quality = %s WHERE sighting_id = %s",
            (shot.captured_at, shot.quality, sighting),
        )

    def _take_back(self, cursor: Cursor, sighting: str, written: Written) -> list[str]:
        """Undo a snapshot: the picture waits again, and so do those who pointed to it."""
        cursor.execute("DELETE FROM snapshots WHERE sighting_id = %s", (sighting,))
        if not written.is_own:
            return []
        try:
            jpeg = self._store.get(written.path)
        except NoSuchObjectError:
            pass  # somebody has removed the picture: there is none to keep
        else:
            cursor.execute(_SHOT, (sighting, written.captured_at, written.quality, jpeg))
        cursor.execute(
            "INSERT INTO stale_objects (key) VALUES (%s)"
            " ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at",
            (written.path,),
        )
        return _orphans(cursor, written.path)

    def _neighbour(self, cursor: Cursor, owner: Owner) -> Written | None:
        """A snapshot of the same person so near that it can stand for another."""
        asked = {"global_id": owner.global_id, "at": owner.decided_at, "within": self._between}
        with cursor.connection.cursor(row_factory=class_row(Written)) as rows:
            return rows.execute(_NEIGHBOUR, asked).fetchone()

    def _put(self, cursor: Cursor, key: str, jpeg: bytes) -> None:
        # Before it is written, or a worker that deletes it just now would come after.
        cursor.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
        self._store.put(key, jpeg)


def best_shots(snapshots: Iterable[pb.Snapshot]) -> dict[str, pb.Snapshot]:
    """The best shot of each track and epoch in a batch, by sighting id; the first of equals."""
    best: dict[str, pb.Snapshot] = {}
    for shot in snapshots:
        key = sighting_id(shot.track_id, shot.epoch)
        if key not in best or shot.quality > best[key].quality:
            best[key] = shot
    return best


def _still_right(written: Written, owner: Owner) -> bool:
    same_person = written.global_id == owner.global_id
    return same_person and (not written.is_own or written.path == owner.key)


def _owner(cursor: Cursor, sighting: str) -> Owner | None:
    with cursor.connection.cursor(row_factory=class_row(Owner)) as rows:
        return rows.execute(
            "SELECT sighting_id::text, track_uuid::text, epoch, camera_id, global_id,"
            " persons_name, decided_at FROM snapshot_owners WHERE sighting_id = %s",
            (sighting,),
        ).fetchone()


def _written(cursor: Cursor, sighting: str) -> Written | None:
    with cursor.connection.cursor(row_factory=class_row(Written)) as rows:
        return rows.execute(
            "SELECT global_id, captured_at, quality, path, is_own FROM snapshots"
            " WHERE sighting_id = %s",
            (sighting,),
        ).fetchone()


def _pending(cursor: Cursor, sighting: str) -> Shot | None:
    with cursor.connection.cursor(row_factory=class_row(Shot)) as rows:
        return rows.execute(
            "SELECT captured_at, quality, jpeg FROM pending_snapshots WHERE sighting_id = %s",
            (sighting,),
        ).fetchone()


def _orphans(cursor: Cursor, path: str) -> list[str]:
    """Those who pointed to a picture, and do no more."""
    cursor.execute(
        "DELETE FROM snapshots WHERE path = %s AND NOT is_own RETURNING sighting_id::text", (path,)
    )
    return [row[0] for row in cursor.fetchall()]


def _drop_pending(cursor: Cursor, sighting: str) -> None:
    cursor.execute("DELETE FROM pending_snapshots WHERE sighting_id = %s", (sighting,))


def _shot_row(key: str, shot: pb.Snapshot) -> tuple[Any, ...]:
    return key, to_datetime(shot.captured_at_us), shot.quality, shot.jpeg


def _owner_row(sighting: pb.Sighting) -> dict[str, Any]:
    return {
        "sighting_id": sighting.sighting_id,
        "track_uuid": sighting.track_id,
        "epoch": sighting.epoch,
        "camera_id": sighting.camera_id,
        "global_id": sighting.global_id,
        "name": sighting.name or None,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rank(sighting),
    }


def run(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    stop = start_service(Snapshots.name, settings)
    SinkLoop(Snapshots(settings, open_store(settings)), settings).run(stop)
