"""Snapshots: the best shot of each track, named after the person once it is known who it was.

Two topics tell of a track, in either order: its best shot so far, and who it was. Both wait in
the database; when both are there the shot becomes an object. An object is written before the
rows that point to it are committed and deleted after, and its key follows from the decision,
so that doing it again writes the same object. One that nothing has come to point to goes later.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.ids import sighting_id
from schemas.naming import run_prefix
from schemas.topics import SIGHTINGS, SNAPSHOTS
from sightline.people import identity_corrections, suppression_list
from sightline.runtime import metrics
from sightline.runtime.clock import Clock
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection
from sightline.storage.encryption import TamperedError
from sightline.storage.objects import NoSuchObjectError, ObjectStore, open_store
from sightline.streaming.sink_loop import Cursor, SinkLoop, Taken, topics_of
from sinks import snapshot_rows as rows
from sinks.decisions import PATH_LOCK, cameras, corrected, decided, lock, messages, news
from sinks.promoted import with_promotions
from sinks.settings import SinkSettings
from sinks.snapshot_rows import Owner, Shot, Written
from sinks.stale_objects import ObjectNotes, StaleObjects

log = logging.getLogger(__name__)

_CORRECTED_AT_ONCE = 100
"""Snapshots that get another name in one transaction, which keeps corrections waiting."""

_PUT_AT_ONCE = 50
"""Pictures that are kept in memory until they are written."""

_PENDING_FOR = timedelta(hours=1)
"""A shot whose person is not known by then is dropped; wall time since it arrived."""


@dataclass(slots=True)
class Due:
    """Pictures to be written before the transaction commits, by key."""

    new: dict[str, bytes] = field(default_factory=dict)
    better: dict[str, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.new) + len(self.better)


class Snapshots:
    """Writes snapshots to the object store, `snapshots`, and the paths in `access_logs`."""

    name = "snapshots"

    def __init__(self, settings: Settings, store: ObjectStore, clock: Clock | None = None) -> None:
        self.topics: Mapping[str, type[Message]] = topics_of(
            settings.run, (SNAPSHOTS, pb.Snapshot), (SIGHTINGS, pb.Sighting)
        )
        self.batch_seconds = SinkSettings.of(settings).batch_seconds
        self._between = timedelta(seconds=SinkSettings.of(settings).unknown_snapshot_seconds)
        self._store = store
        self._notes = ObjectNotes(settings)
        self._stale = StaleObjects(self.name, store, clock)
        self._prefix = run_prefix(settings.run)
        self._wrote = False

    def close(self) -> None:
        """Close the connection that the sink has besides that of its transactions."""
        self._notes.close()

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Keep the shots and decisions of a batch, and write what has both."""
        self._wrote = True
        sightings = corrected(cursor, decided(news(batch)))
        taken = messages(batch, pb.Snapshot)
        erased = suppression_list.tracks(cursor, (one.track_id for one in taken))
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
        """Rename what was corrected, and drop shots that nobody came for."""
        if not self._wrote:  # else that has been done, and its locks are no longer to be had
            identity_corrections.share(cursor)
            self._settle_all(cursor, self._lock(cursor, ()))
        self._wrote = False
        cursor.execute(
            "DELETE FROM pending_snapshots WHERE arrived_at < now() - %s", (_PENDING_FOR,)
        )

    def maintain(self, db: Connection) -> bool:
        """Delete some of the objects that nothing points to; return whether there may be more."""
        return self._stale.delete_some(db)

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
        due = Due()
        while left:
            one = next(iter(left))
            orphans = self._settle(cursor, one, due, is_orphan=left.pop(one))
            seen.add(one)
            left |= dict.fromkeys(orphans, True)
            if len(due) >= _PUT_AT_ONCE or not left:
                self._put(cursor, due)
                due = Due()
        # Only now: this lock is shared with the access log, which waits for no object store.
        lock(cursor, PATH_LOCK, seen)
        rows.point(cursor, sorted(seen))

    def _settle(self, cursor: Cursor, sighting: str, due: Due, *, is_orphan: bool) -> list[str]:
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
                self._write_first(cursor, owner, shot, due)
            elif shot and written and written.is_own:
                self._write_better(cursor, sighting, written, shot, due)
        return orphans

    def _give(self, cursor: Cursor, owner: Owner) -> list[str]:
        """Give a snapshot to another person by whose name it is called already."""
        cursor.execute(
            "UPDATE snapshots SET global_id = %s WHERE sighting_id = %s",
            (owner.global_id, owner.sighting_id),
        )
        return rows.orphans_of(cursor, owner.key)

    def _write_first(self, cursor: Cursor, owner: Owner, shot: Shot | None, due: Due) -> None:
        """Write a picture, or point to that of a neighbour: an unknown person's that is too near
        for another, or any where there is none of this track any more."""
        alone = shot is not None and owner.persons_name is not None
        near = None if alone else rows.neighbour(cursor, owner, self._between)
        if near is not None:
            rows.insert(cursor, owner, near)
        elif shot is not None:
            due.new[owner.key] = shot.jpeg
            rows.drop_pending(cursor, owner.sighting_id)
            rows.insert(cursor, owner, shot)
        else:
            return
        metrics.ROWS.labels(self.name, "snapshots").inc()

    def _write_better(
        self, cursor: Cursor, sighting: str, written: Written, shot: Shot, due: Due
    ) -> None:
        rows.drop_pending(cursor, sighting)
        if shot.quality <= written.quality:
            return
        due.better[written.path] = shot.jpeg
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
        self._notes.give_up(cursor, written.path)
        return rows.orphans_of(cursor, written.path)

    def _put(self, cursor: Cursor, due: Due) -> None:
        """Write pictures; the new ones are noted before, all at once."""
        if not due:
            return
        self._notes.expect(cursor, due.new)
        pictures = due.new | due.better
        self._notes.take_away(cursor, pictures)
        for key, jpeg in pictures.items():
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
    with closing(Snapshots(settings, open_store(settings))) as sink:
        SinkLoop(with_promotions(sink, settings), settings).run(stop)
