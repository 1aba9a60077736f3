"""Deletion of expired rows in batches, each in a transaction with all rows that depend on it.

A row's age counts from its writing or from its own time, whichever is later: a row of an old film
that was read today is of today. The locks are those of the sinks that write the rows. Employees
and their templates stay.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import LiteralString

from psycopg.rows import TupleRow

from sightline.people import identity_corrections
from sightline.runtime import metrics
from sightline.runtime.clock import Clock, to_datetime
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import RetentionSettings
from sightline.storage.db import Cursor, connect
from sinks.person_state import PersonState
from sinks.promotion_router import delete_replaced
from sinks.sighting_rules import PATH_LOCK, lock
from sinks.snapshots import Snapshots
from sinks.visitor_log import VisitorLog

log = logging.getLogger(__name__)

Delete = Callable[[Cursor, datetime], int]
"""Deletes a batch of rows before a time; returns their number, 0 when there are no more."""

_BATCH_ROWS = 500

# A template that was taught from a sighting has its id, and is looked up in the log when an
# operator removes it.
_ACCESS = """
SELECT log.id::text FROM access_logs log
WHERE log.timestamp < %(before)s AND log.recorded_at < %(before)s
    AND NOT EXISTS (SELECT FROM face_templates WHERE template_id = log.id)
LIMIT %(batch)s
"""

_EVENTS = """
SELECT event.event_id, event.camera_id FROM motion_events event
WHERE event.created_at < %(before)s
    AND greatest(event.ended_at, event.last_frame_at, event.started_at) < %(before)s
LIMIT %(batch)s
"""

_TRACKS = """
SELECT track.track_uuid::text FROM person_tracks track
WHERE track.kept_since < %(before)s AND track.last_seen < %(before)s
    AND NOT EXISTS (
        SELECT FROM track_corrections correction
        WHERE correction.track_uuid = track.track_uuid)
    AND NOT EXISTS (
        SELECT FROM access_logs log JOIN face_templates ON template_id = log.id
        WHERE log.track_uuid = track.track_uuid)
LIMIT %(batch)s
"""

_DELETE_TRACKS = """
WITH deleted AS (
    DELETE FROM person_tracks WHERE track_uuid = ANY(%s::uuid[]) RETURNING global_id
), stale AS (
    SELECT DISTINCT global_id FROM deleted WHERE global_id IS NOT NULL ORDER BY 1
)
INSERT INTO stale_persons (global_id) SELECT global_id FROM stale ON CONFLICT DO NOTHING
"""

# A snapshot is deleted with all rows that point to it, once the last of them has expired.
_SNAPSHOTS = """
WITH old AS (
    SELECT owner.sighting_id, mine.path
    FROM snapshot_owners owner LEFT JOIN snapshots mine USING (sighting_id)
    WHERE owner.kept_since < %(before)s AND owner.decided_at < %(before)s
        AND NOT EXISTS (
            SELECT FROM snapshots other WHERE other.path = mine.path
                AND (other.kept_since >= %(before)s OR other.decided_at >= %(before)s))
    LIMIT %(batch)s
)
SELECT sighting_id::text FROM old
UNION SELECT other.sighting_id::text FROM old JOIN snapshots other USING (path)
"""

_DELETE_SNAPSHOTS = """
WITH deleted AS (
    DELETE FROM snapshots WHERE sighting_id = ANY(%(ids)s::uuid[]) RETURNING path
), owners AS (
    DELETE FROM snapshot_owners WHERE sighting_id = ANY(%(ids)s::uuid[])
), logs AS (
    UPDATE access_logs SET snapshot_path = NULL
    WHERE id = ANY(%(ids)s::uuid[]) AND snapshot_path IS NOT NULL
)
INSERT INTO stale_objects (key) SELECT DISTINCT path FROM deleted
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


def expire(settings: Settings, clock: Clock, stop: Stop) -> dict[str, int]:
    """Delete rows that have expired by the settings; return the number of rows by table.

    The objects of snapshots are deleted by the snapshot sink once that has committed. Raises
    UnreachableError or psycopg.OperationalError when the database fails.
    """
    now = to_datetime(clock.now_us())
    deleted: dict[str, int] = {}
    for table, days, delete in _plan(settings.retention):
        if days:
            deleted[table] = _all(settings, delete, now - timedelta(days=days), stop)
            metrics.ROWS_EXPIRED.labels(table).inc(deleted[table])
            if deleted[table]:
                log.info("retention: %d rows of %s deleted", deleted[table], table)
    return deleted


def _plan(retention: RetentionSettings) -> list[tuple[str, float, Delete]]:
    return [
        ("snapshots", retention.picture_days, _snapshots),
        ("access_logs", retention.access_log_days, _access_logs),
        ("visitor_logs", retention.visitor_log_days, _visits),
        ("person_tracks", retention.person_track_days, _tracks),
    ]


def _all(settings: Settings, delete: Delete, before: datetime, stop: Stop) -> int:
    total = 0
    with connect(settings) as db:
        while not stop.is_set():
            stop.beat()
            with db.transaction(), db.cursor() as cursor:
                identity_corrections.lock_shared(cursor)
                deleted = delete(cursor, before)
            if not deleted:
                break
            total += deleted
    return total


def _access_logs(cursor: Cursor, before: datetime) -> int:
    old = [row[0] for row in _old(cursor, _ACCESS, before)]
    lock(cursor, PATH_LOCK, old)
    cursor.execute("DELETE FROM access_logs WHERE id = ANY(%s::uuid[])", (old,))
    return len(old)


def _visits(cursor: Cursor, before: datetime) -> int:
    """Delete motion events with their visits and evidence; return the number of events.

    Rows that a promoted run has replaced are deleted too: no rollback brings them back.
    """
    old = _old(cursor, _EVENTS, before)
    events = [event for event, _camera in old]
    lock(cursor, VisitorLog.name, {camera for _event, camera in old})
    # A later record of the event would bring its visits back if their evidence stayed.
    cursor.execute("DELETE FROM visit_evidence WHERE motion_event_id = ANY(%s)", (events,))
    cursor.execute("DELETE FROM visitor_logs WHERE motion_event_id = ANY(%s)", (events,))
    cursor.execute("DELETE FROM motion_events WHERE event_id = ANY(%s)", (events,))
    delete_replaced(cursor, events)
    return len(old)


def _tracks(cursor: Cursor, before: datetime) -> int:
    """Delete tracks; the person-state sink then computes the rows of their persons anew."""
    old = [row[0] for row in _old(cursor, _TRACKS, before)]
    lock(cursor, PersonState.name, old)
    cursor.execute(_DELETE_TRACKS, (old,))
    return len(old)


def _snapshots(cursor: Cursor, before: datetime) -> int:
    cursor.execute("SELECT DISTINCT site_id FROM cameras")
    # Under these locks no other row comes to point to one of the snapshots.
    lock(cursor, Snapshots.name, [row[0] for row in cursor.fetchall()])
    old = [row[0] for row in _old(cursor, _SNAPSHOTS, before)]
    lock(cursor, PATH_LOCK, old)
    cursor.execute(_DELETE_SNAPSHOTS, {"ids": old})
    return len(old)


def _old(cursor: Cursor, query: LiteralString, before: datetime) -> list[TupleRow]:
    return cursor.execute(query, {"before": before, "batch": _BATCH_ROWS}).fetchall()
