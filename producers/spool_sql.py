"""Schema and SQL statements of a camera's spool."""

import sqlite3
from pathlib import Path
from typing import Final

from schemas import sightline_pb2 as pb
from sightline.runtime.errors import InfrastructureError

_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE camera (
    generation INTEGER, cluster TEXT, -- that the position is of
    start_us INTEGER, pictures INTEGER NOT NULL DEFAULT 0, sequence INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    captured INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0, -- the one frame that is here although Kafka has it, or 0
    topic TEXT, part INTEGER, next_offset INTEGER
);
INSERT INTO camera DEFAULT VALUES;
CREATE TABLE dropped (reason TEXT PRIMARY KEY, frames INTEGER NOT NULL);
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, started_at_us INTEGER NOT NULL, first_sequence INTEGER NOT NULL,
    last_at_us INTEGER NOT NULL, last_sequence INTEGER NOT NULL, ended INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0, started_said INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY, event_id TEXT NOT NULL, sequence INTEGER NOT NULL,
    captured_at_us INTEGER NOT NULL, is_first INTEGER NOT NULL, is_last INTEGER NOT NULL,
    size INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX frames_between ON frames (id) WHERE NOT (is_first OR is_last);
CREATE INDEX frames_of_event ON frames (event_id);
"""

COUNT: Final = """
UPDATE camera SET captured = captured + ?, generation = ?, cluster = ?, start_us = ?, pictures = ?,
    sequence = ?, held = ?
"""

DROP: Final = """
INSERT INTO dropped (reason, frames) VALUES (?, ?)
ON CONFLICT (reason) DO UPDATE SET frames = frames + excluded.frames
"""

PUT_FRAME: Final = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

PUT_EVENT: Final = """
INSERT INTO events (event_id, started_at_us, first_sequence, last_at_us, last_sequence, ended)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO UPDATE SET
    last_at_us = excluded.last_at_us, last_sequence = excluded.last_sequence, ended = excluded.ended
"""

COUNT_EVENT: Final = """
UPDATE events SET delivered = delivered + 1
WHERE event_id = (SELECT event_id FROM frames WHERE id = ?)
"""

DELIVERED: Final = """
UPDATE camera SET delivered = delivered + ?, kept = ?, topic = ?, part = ?, next_offset = ?
"""

EVENT: Final = (
    "event_id, started_at_us, first_sequence, last_at_us, last_sequence, ended, delivered"
)

PENDING_ANNOUNCEMENTS: Final = f"""
SELECT {pb.MotionEvent.STARTED}, {EVENT} FROM events WHERE NOT started_said
UNION ALL
SELECT {pb.MotionEvent.ENDED}, {EVENT} FROM events WHERE ended AND started_said AND NOT EXISTS (
    SELECT 1 FROM frames WHERE frames.event_id = events.event_id AND frames.id <> ?)
ORDER BY started_at_us
"""  # noqa: S608 - constants

AFTER: Final = """
SELECT id, captured_at_us, value FROM frames WHERE id > ? AND id <> ? ORDER BY id LIMIT ?
"""

MARKS: Final = "SELECT id, sequence, captured_at_us, size FROM frames WHERE id <> ? ORDER BY id"

OLDEST: Final = "SELECT min(id) FROM frames WHERE id > ?"

OLDEST_BETWEEN: Final = f"{OLDEST} AND NOT (is_first OR is_last)"

LAST_OF_EVENT: Final = "SELECT value FROM frames WHERE event_id = ? ORDER BY id DESC LIMIT 1"


def open_file(file: Path) -> sqlite3.Connection:
    """Open a camera's file, or create it. Raises sqlite3.Error, InfrastructureError."""
    database = sqlite3.connect(file, isolation_level=None)
    try:
        file.chmod(0o600)  # frames show people
        [version] = database.execute("PRAGMA user_version").fetchone()
        _check_version(version, file)
        if not version:
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if not version:
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def _check_version(version: int, file: Path) -> None:
    if version not in (0, _VERSION):
        raise InfrastructureError(f"{file} is of another version of Sightline: remove it")
