"""How far the rows of a run are, as its own tables say."""

from collections.abc import Mapping

from psycopg import sql

from sightline.storage.db import Connection, run_schema
from sightline.streaming.topic_reader import Offsets

SINKS = ("access-log", "visitor-log", "snapshots", "person-state")
"""Who writes them."""


def written(db: Connection, run: str, goal: Mapping[str, Offsets]) -> bool:
    """Whether every sink has come to the offsets by topic, and every person's row is computed."""
    rows = db.execute(
        sql.SQL("SELECT sink, topic, partition, next_offset FROM {}").format(
            _table(run, "sink_offsets")
        )
    ).fetchall()
    # A sink names all that it reads at once, when it begins.
    if {sink for sink, *_ in rows} != set(SINKS):
        return False
    if any(offset < goal[topic][number] for _sink, topic, number, offset in rows):
        return False
    stale = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(_table(run, "stale_persons"))
    return db.execute(stale).fetchone() == (False,)


def frames_missing(db: Connection, run: str) -> int:
    """How many frames of the run's motion events live delivered and the run has not seen."""
    row = db.execute(
        sql.SQL("SELECT sum(greatest(frames - frames_seen, 0))::bigint FROM {}").format(
            _table(run, "motion_events")
        )
    ).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def gallery_revisions(db: Connection, run: str) -> set[int]:
    """Of the gallery when live decided about the run's motion events."""
    rows = db.execute(
        sql.SQL(
            "SELECT DISTINCT gallery_revision FROM public.access_logs"
            " WHERE gallery_revision IS NOT NULL"
            " AND motion_event_id IN (SELECT event_id FROM {})"
        ).format(_table(run, "motion_events"))
    )
    return {int(revision) for (revision,) in rows}


def seconds_seen(db: Connection, run: str) -> float:
    """How long the cameras took what the run sees, all of them together."""
    row = db.execute(
        sql.SQL("SELECT extract(epoch FROM sum(ended_at - started_at))::float8 FROM {}").format(
            _table(run, "motion_events")
        )
    ).fetchone()
    return 0.0 if row is None or row[0] is None else float(row[0])


def _table(run: str, name: str) -> sql.Identifier:
    return sql.Identifier(run_schema(run), name)
