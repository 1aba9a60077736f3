"""Snapshots: the best picture of each track, named after its person once that is decided.

Two topics report a track, in either order: its best snapshot so far, and its person. Both wait in
the database; when both are there the picture becomes an object. An object is written before the
rows that point to it are committed and deleted after, and its key depends on the decision alone,
so that a repetition writes the same object. Objects that no row points to are deleted later.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.naming import run_prefix
from schemas.topics import SIGHTINGS, SNAPSHOTS
from sightline.people import identity_corrections, suppression_list
from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor
from sightline.storage.encryption import TamperedError
from sightline.storage.objects import NoSuchObjectError, ObjectStore, open_store
from sinks import sighting_rules as rules
from sinks import snapshot_rows as rows
from sinks.promotion_router import with_promotions
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import RowWriter
from sinks.runtime.sink import DecodedRecord
from sinks.settings import SinkSettings
from sinks.snapshot_rows import PendingSnapshot, SnapshotOwner, SnapshotRow
from sinks.stale_objects import ObjectNotes, StaleObjects

log = logging.getLogger(__name__)

_CORRECTED_AT_ONCE = 100
"""Snapshots that get another name in one transaction, for which corrections have to wait."""

_PUT_AT_ONCE = 50
"""Pictures that are held in memory until they are written."""

_PENDING_TTL = timedelta(days=1)
"""A snapshot without a decision is dropped this long after it arrived, in wall time: somebody sits
with their back to the camera for hours and has their row at the end."""


@dataclass(slots=True)
class DuePictures:
    """Pictures to be written before the transaction commits, by key."""

    new: dict[str, bytes] = field(default_factory=dict)
    better: dict[str, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.new) + len(self.better)


class Snapshots(RowWriter):
    """Writes snapshots to the object store, `snapshots`, and the paths in `access_logs`."""

    name = "snapshots"

    def __init__(self, settings: Settings, store: ObjectStore, clock: Clock | None = None) -> None:
        super().__init__(settings, (SNAPSHOTS, pb.Snapshot), (SIGHTINGS, pb.Sighting))
        interval_seconds = SinkSettings.of(settings).unknown_snapshot_seconds
        self._unknown_interval = timedelta(seconds=interval_seconds)
        self._store = store
        self._notes = ObjectNotes(settings)
        self._stale = StaleObjects(self.name, store, clock)
        self._prefix = run_prefix(settings.run)
        self._wrote = False

    def close(self) -> None:
        """Close the connection that the sink has besides that of its transactions."""
        self._notes.close()

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        """Store the snapshots and decisions of a batch; write the pictures of tracks with both."""
        self._wrote = True
        sightings = rules.with_corrections(
            cursor, rules.decisions_in_force(rules.new_sightings(batch))
        )
        received = rules.messages(batch, pb.Snapshot)
        erased = suppression_list.suppressed_tracks(
            cursor, (snapshot.track_id for snapshot in received)
        )
        best = best_snapshots(snapshot for snapshot in received if snapshot.track_id not in erased)
        both: list[pb.Snapshot | pb.Sighting] = [*best.values(), *sightings]
        if not both:
            return
        rules.entry_points(cursor, {message.camera_id for message in both})
        corrected = self._lock(cursor, {message.site_id for message in both})
        rows.store_pending(cursor, best)
        rows.store_owners(cursor, sightings, self._prefix)
        decided = [sighting.sighting_id for sighting in sightings]
        self._update_all(cursor, [*corrected, *decided, *best])

    def idle(self, cursor: Cursor) -> None:
        """Rename corrected snapshots, and drop those that no decision came for."""
        if not self._wrote:  # else done already, and its locks cannot be taken any more
            identity_corrections.lock_shared(cursor)
            self._update_all(cursor, self._lock(cursor, ()))
        self._wrote = False
        cursor.execute(
            "DELETE FROM pending_snapshots WHERE arrived_at < now() - %s", (_PENDING_TTL,)
        )

    def maintain(self, connection: Connection) -> bool:
        """Delete some of the objects that no row points to; return whether there may be more."""
        return self._stale.delete_batch(connection)

    def _lock(self, cursor: Cursor, sites: Iterable[str]) -> list[str]:
        """Lock sites, and the sites of some corrected sightings; return these sightings.

        The people of a site are decided together: no other worker writes a snapshot of theirs.
        """
        corrected, their_sites = rows.take_corrected(cursor, _CORRECTED_AT_ONCE)
        rules.lock(cursor, self.name, {*sites, *their_sites})
        return corrected

    def _update_all(self, cursor: Cursor, touched: Sequence[str]) -> None:
        queue = dict.fromkeys(touched, False)
        seen: set[str] = set()
        due = DuePictures()
        while queue:
            sighting = next(iter(queue))
            orphans = self._update(cursor, sighting, due, is_orphan=queue.pop(sighting))
            seen.add(sighting)
            queue |= dict.fromkeys(orphans, True)
            if len(due) >= _PUT_AT_ONCE or not queue:
                self._put(cursor, due)
                due = DuePictures()
        # This lock comes last: the access log shares it, and waits for no object store.
        rules.lock(cursor, rules.PATH_LOCK, seen)
        rows.write_paths(cursor, sorted(seen))

    def _update(
        self, cursor: Cursor, sighting: str, due: DuePictures, *, is_orphan: bool
    ) -> list[str]:
        """Update one track's snapshot; return the sightings that pointed to it.

        An orphan has pointed to another sighting's picture until now.
        """
        orphans: list[str] = []
        owner = rows.owner_of(cursor, sighting)
        written = rows.written_of(cursor, sighting)
        if written and not (owner and _is_current(written, owner)):
            is_orphan = not written.is_own
            if owner and written.is_own and written.path == owner.key:
                orphans = self._reassign(cursor, owner)
            else:
                orphans = self._revoke(cursor, sighting, written)
                written = None
        if owner and owner.global_id != 0:
            pending = rows.pending_of(cursor, sighting)
            if written is None and (pending or is_orphan):
                self._write_first(cursor, owner, pending, due)
            elif pending and written and written.is_own:
                self._write_better(cursor, sighting, written, pending, due)
        return orphans

    def _reassign(self, cursor: Cursor, owner: SnapshotOwner) -> list[str]:
        """Assign a snapshot to another person under whose name its object is already."""
        cursor.execute(
            "UPDATE snapshots SET global_id = %s WHERE sighting_id = %s",
            (owner.global_id, owner.sighting_id),
        )
        return rows.orphans_of(cursor, owner.key)

    def _write_first(
        self,
        cursor: Cursor,
        owner: SnapshotOwner,
        pending: PendingSnapshot | None,
        due: DuePictures,
    ) -> None:
        """Write a picture, or point to that of a neighbour.

        An unknown person's snapshots within the interval share one picture, and so does any
        sighting whose track has no picture any more.
        """
        is_named = pending is not None and owner.persons_name is not None
        near = None if is_named else rows.neighbour(cursor, owner, self._unknown_interval)
        if near is not None:
            rows.insert(cursor, owner, near)
        elif pending is not None:
            due.new[owner.key] = pending.jpeg
            rows.drop_pending(cursor, owner.sighting_id)
            rows.insert(cursor, owner, pending)
        else:
            return
        metrics.ROWS.labels(self.name, "snapshots").inc()

    def _write_better(
        self,
        cursor: Cursor,
        sighting: str,
        written: SnapshotRow,
        pending: PendingSnapshot,
        due: DuePictures,
    ) -> None:
        rows.drop_pending(cursor, sighting)
        if pending.quality <= written.quality:
            return
        due.better[written.path] = pending.jpeg
        cursor.execute(
            "UPDATE snapshots SET captured_at = %s, quality = %s WHERE sighting_id = %s",
            (pending.captured_at, pending.quality, sighting),
        )

    def _revoke(self, cursor: Cursor, sighting: str, written: SnapshotRow) -> list[str]:
        """Undo a snapshot: its picture waits again; return the sightings that pointed to it."""
        cursor.execute("DELETE FROM snapshots WHERE sighting_id = %s", (sighting,))
        if not written.is_own:
            return []
        try:
            jpeg = self._store.get(written.path)
        except (NoSuchObjectError, TamperedError) as error:
            # The picture was removed or exchanged: there is none to store again.
            log.warning("snapshots: %s", error)
        else:
            rows.store_as_pending(cursor, sighting, written, jpeg)
        self._notes.release(cursor, written.path)
        return rows.orphans_of(cursor, written.path)

    def _put(self, cursor: Cursor, due: DuePictures) -> None:
        """Write pictures; new objects are noted before, all at once."""
        if not due:
            return
        self._notes.expect(cursor, due.new)
        pictures = due.new | due.better
        self._notes.remove(cursor, pictures)
        for key, jpeg in pictures.items():
            self._store.put(key, jpeg)


def best_snapshots(snapshots: Iterable[pb.Snapshot]) -> dict[str, pb.Snapshot]:
    """Return the best snapshot of each sighting id in a batch; the first of equals."""
    best: dict[str, pb.Snapshot] = {}
    for snapshot in snapshots:
        key = sighting_id(snapshot.track_id, snapshot.epoch)
        if key not in best or rows.rank_of(snapshot) > rows.rank_of(best[key]):
            best[key] = snapshot
    return best


def _is_current(written: SnapshotRow, owner: SnapshotOwner) -> bool:
    same_person = written.global_id == owner.global_id
    return same_person and (not written.is_own or written.path == owner.key)


def run(settings: Settings) -> None:
    """Run the service until a stop is requested."""
    stop = start_service(Snapshots.name, settings)
    with closing(Snapshots(settings, open_store(settings))) as sink:
        SinkLoop(with_promotions(sink, settings), settings).run(stop)
