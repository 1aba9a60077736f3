"""Fixtures of cameras for operators: what never moves, and the mask that leaves it out."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from sightline.storage.db import Connection, Cursor

_MAX_ROWS = 32
"""Rows of a camera; the fixtures seen last longest ago are deleted for more."""

# Only by live decisions, not by those of a run.
_UPSERT = """
INSERT INTO camera_fixtures AS fixture (
    camera_id, since, x1, y1, x2, y2, events, is_picture, last_seen)
SELECT %(camera_id)s, %(since)s, %(x1)s, %(y1)s, %(x2)s, %(y2)s, %(events)s, %(is_picture)s,
    %(last_seen)s
WHERE current_schema() = 'public'
ON CONFLICT (camera_id, since) DO UPDATE SET
    events = greatest(fixture.events, excluded.events),
    is_picture = fixture.is_picture OR excluded.is_picture,
    last_seen = greatest(fixture.last_seen, excluded.last_seen)
"""

_TRIM = """
DELETE FROM camera_fixtures WHERE current_schema() = 'public' AND (camera_id, since) IN (
    SELECT camera_id, since FROM camera_fixtures WHERE camera_id = %s
    ORDER BY last_seen DESC OFFSET %s)
"""

_RECENT = """
SELECT camera_id, since, x1, y1, x2, y2, events, is_picture, last_seen FROM camera_fixtures
WHERE last_seen > now() - interval '7 days' ORDER BY camera_id, since
"""


@dataclass(frozen=True, slots=True)
class CameraFixture:
    """A place where something never moves, as fractions of the picture."""

    camera_id: str
    since: datetime
    x1: float
    y1: float
    x2: float
    y2: float
    events: int
    """Motion events in which it was there."""
    is_picture: bool
    """True for a picture of a person who was elsewhere in the frame at the same time."""
    last_seen: datetime

    @property
    def mask(self) -> str:
        """The polygon of its mask as `sightline camera` takes it."""
        x1, y1, x2, y2 = (min(1.0, max(0.0, side)) for side in (self.x1, self.y1, self.x2, self.y2))
        corners = (x1, y1, x2, y1, x2, y2, x1, y2)
        return ",".join(f"{side:.3f}".rstrip("0").rstrip(".") for side in corners)


def write(cursor: Cursor, fixtures: list[CameraFixture]) -> None:
    """Insert or update fixtures; of each camera the `_MAX_ROWS` seen last remain."""
    if not fixtures:
        return
    cursor.executemany(
        _UPSERT,
        [
            {name: getattr(fixture, name) for name in CameraFixture.__slots__}
            for fixture in fixtures
        ],
    )
    cameras = sorted({fixture.camera_id for fixture in fixtures})
    cursor.executemany(_TRIM, [(camera, _MAX_ROWS) for camera in cameras])


def recent(db: Connection) -> list[CameraFixture]:
    """Return the fixtures that were seen within the last seven days, by camera."""
    with db.cursor(row_factory=class_row(CameraFixture)) as rows:
        return rows.execute(_RECENT).fetchall()
