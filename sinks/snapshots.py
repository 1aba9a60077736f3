"""Snapshots: the best shot of each track, named after the person once it is known who it was.

Two topics tell of a track, in either order: its best shot so far, and who it was. Both wait in
the database; when both are there the shot becomes an object. An object is written before the
rows that point to it are committed and deleted after, and its key follows from the decision,
so that doing it again writes the same object. One that nothing has come to point to goes later.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.topics import SIGHTINGS, SNAPSHOTS
from sightline import metrics
from sightline.erase import barred
from sightline.kafka.sink import Cursor, SinkLoop, Taken, topics_of
from sightline.lifecycle import start_service
from sightline.people import overlay
from sightline.settings import Settings
from sightline.store.db import connect
from sightline.store.objects import NoSuchObjectError, ObjectStore, open_store, run_prefix
from sightline.store.sealing import TamperedError
from sinks import snapshot_rows as rows
from sinks.decisions import PATH_LOCK, cameras, corrected, decided, lock, messages, news
from sinks.promoted import with_promotions
from sinks.snapshot_rows import Owner, Shot, Written

log = logging.getLogger(__name__)

_CORRECTED_AT_ONCE = 100
"""Snapshots that get another name in one transaction, which keeps corrections waiting."""

_EXPECT = """
INSERT INTO stale_objects (key, stale_at) VALUES (%s, now() + %s)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""

_EXPECTED_FOR = timedelta(hours=1)
"""No transaction takes so long."""

_PENDING_FOR = timedelta(hours=1)
"""A shot whose person is not known by then is dropped; wall time since it arrived."""


class Snapshots:
    """Writes snapshots to the object store, `snapshots`, and the paths in `access_logs`."""

    name = "snapshots"

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self.topics: Mapping[str, type[Message]] = topics_of(
            settings.run, (SNAPSHOTS, pb.Snapshot), (SIGHTINGS, pb.Sighting)
        )
        self.batch_seconds = settings.sinks.batch_seconds
        self._between = timedelta(seconds=settings.sinks.unknown_snapshot_seconds)
        self._settings = settings
        self._store = store
        self._prefix = run_prefix(settings.run)
        self._wrote = False

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Keep the shots and decisions of a batch, and write what has both."""
        self._wrote = True
        sightings = corrected(cursor, decided(news(batch)))
        taken = messages(batch, pb.Snapshot)
        erased = barred.tracks(cursor, (one.track_id for one in taken))
        shots = best_shots(one for one in taken if one.track_id not in erased)
        both: list[pb.Snapshot | pb.Sighting] = [*shots.values(), *sightings]
        if not both:
            return
        cameras(cursor, {one.camera_id for one in both})
        stale = self._lock(cursor, {one.site_id for one in both})
        rows.keep_shots(cursor, shots)
        rows.keep_owners(cursor, sightings, self._prefix)
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
        stale, others = rows.take_corrected(cursor, _CORRECTED_AT_ONCE)
        lock(cursor, self.name, {*sites, *others})
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
        rows.point(cursor, sorted(seen))

    def _settle(self, cursor: Cursor, sighting: str, *, is_orphan: bool) -> list[str]:
        """Bring one track's snapshot up to date; returns the tracks that pointed to it.

        An orphan has pointed to another's picture until now.
        """
        orphans: list[str] = []
        owner = rows.owner_of(cursor, sighting)
        written = rows.written_of(cursor, sighting)
        if written and not (owner and _still_right(written, owner)):
            is_orphan = not written.is_own
            if owner and written.is_own and written.path == owner.key:
                orphans = self._give(cursor, owner)
            else:
                orphans = self._take_back(cursor, sighting, written)
                written = None
        if owner and owner.global_id:
            shot = rows.pending_of(cursor, sighting)
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
        return rows.orphans_of(cursor, owner.key)

    def _write_first(self, cursor: Cursor, owner: Owner, shot: Shot | None) -> None:
        """Write a picture, or point to that of a neighbour: an unknown person's that is too near
        for another, or any where there is none of this track any more."""
        alone = shot is not None and owner.persons_name is not None
        near = None if alone else rows.neighbour(cursor, owner, self._between)
        if near is not None:
            rows.insert(cursor, owner, near)
        elif shot is not None:
            self._expect(owner.key)
            self._put(cursor, owner.key, shot.jpeg)
            rows.drop_pending(cursor, owner.sighting_id)
            rows.insert(cursor, owner, shot)
        else:
            return
        metrics.ROWS.labels(self.name, "snapshots").inc()

    def _write_better(self, cursor: Cursor, sighting: str, written: Written, shot: Shot) -> None:
        rows.drop_pending(cursor, sighting)
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
        except (NoSuchObjectError, TamperedError) as error:
            # Somebody has removed the picture, or exchanged it: there is none to keep.
            log.warning("snapshots: %s", error)
        else:
            rows.keep_again(cursor, sighting, written, jpeg)
        cursor.execute(
            "INSERT INTO stale_objects (key) VALUES (%s)"
            " ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at",
            (written.path,),
        )
        return rows.orphans_of(cursor, written.path)

    def _expect(self, key: str) -> None:
        """Note a new object, whatever becomes of the transaction that takes the note back: where
        that dies, and is done again with another decision, nothing would point to the object."""
        with connect(self._settings, autocommit=True) as db:
            # Who holds it now deletes the old object, in moments.
            db.execute("SET lock_timeout = '10s'")
            db.execute(_EXPECT, (key, _EXPECTED_FOR))

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


def run(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    stop = start_service(Snapshots.name, settings)
    sink = Snapshots(settings, open_store(settings))
    SinkLoop(with_promotions(sink, settings), settings).run(stop)
