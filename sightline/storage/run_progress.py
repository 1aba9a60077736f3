"""Progress of a run as its own tables show it."""

from collections.abc import Mapping

from psycopg import sql

from schemas.naming import run_schema
from sightline.storage.db import Connection
from sightline.streaming.topic_reader import Offsets

SINKS = ("access-log", "visitor-log", "snapshots", "person-state")
"""Services that write a run's rows."""


def is_written(db: Connection, run: str, goal: Mapping[str, Offsets]) -> bool:
    """Return True if all sinks have reached the offsets, and every person's row is computed."""
    rows = db.execute(
        sql.SQL("SELECT sink, topic, partition, next_offset FROM {}").format(
            _table(run, "sink_offsets")
        )
    ).fetchall()
    # A sink inserts its rows for all partitions at once when it begins.
    if {sink for sink, *_ in rows} != set(SINKS):
        return False
    if any(offset < goal[topic][partition] for _sink, topic, partition, offset in rows):
        return False
    stale = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(_table(run, "stale_persons"))
    return db.execute(stale).fetchone() == (False,)


def frames_missing(db: Connection, run: str) -> int:
    """Count the frames of the run's motion events that the run has not processed."""
    return int(_sum_of_events(db, run, sql.SQL("greatest(frames - frames_seen, 0)")))


def gallery_revisions(db: Connection, run: str) -> set[int]:
    """Return the gallery revisions of the live decisions about the run's motion events."""
    rows = db.execute(
        sql.SQL(
            "SELECT DISTINCT gallery_revision FROM public.access_logs"
            " WHERE gallery_revision IS NOT NULL"
            " AND motion_event_id IN (SELECT event_id FROM {})"
        ).format(_table(run, "motion_events"))
    )
    return {int(revision) for (revision,) in rows}


def camera_seconds_of(db: Connection, run: str) -> float:
    """Return the seconds of video that the run covers, summed over its cameras."""
    return _sum_of_events(db, run, sql.SQL("extract(epoch FROM ended_at - started_at)"))


def _sum_of_events(db: Connection, run: str, value: sql.SQL) -> float:
    query = sql.SQL("SELECT coalesce(sum({}), 0)::float8 FROM {}")
    row = db.execute(query.format(value, _table(run, "motion_events"))).fetchone()
    return float(row[0]) if row else 0.0


def _table(run: str, name: str) -> sql.Identifier:
    return sql.Identifier(run_schema(run), name)
