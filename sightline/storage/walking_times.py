"""Walking times: lower bounds of the way between two cameras, published as facts."""

import math
from collections.abc import Sequence
from typing import Any

from schemas import sightline_pb2 as pb
from schemas.naming import walking_fact_key
from schemas.topics import FACTS
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.camera_names import ids_of, unknown_camera
from sightline.storage.db import Connection, Cursor, dict_rows
from sightline.storage.outbox import enqueue

_MAX_SECONDS = 86_400.0

# The database's collation differs from Python's order, so the database orders the two cameras.
_SET = """
INSERT INTO walking_times (camera_a, camera_b, seconds)
VALUES (least(%(camera)s, %(other_camera)s), greatest(%(camera)s, %(other_camera)s), %(seconds)s)
ON CONFLICT (camera_a, camera_b) DO UPDATE SET seconds = excluded.seconds
"""

_REMOVE = """
DELETE FROM walking_times
WHERE camera_a = least(%(camera)s, %(other_camera)s)
    AND camera_b = greatest(%(camera)s, %(other_camera)s)
"""


def set_time(cursor: Cursor, camera: str, other_camera: str, seconds: float) -> None:
    """Set the least time in seconds between two cameras, and publish it to the matchers.

    Raises SightlineError for an invalid time, NotFoundError for an unknown camera.
    """
    if camera == other_camera:
        raise SightlineError("a walking time is between two cameras")
    if not (math.isfinite(seconds) and 0 < seconds <= _MAX_SECONDS):
        raise SightlineError(f"{seconds:g} s is no walking time; more than 0, a day at most")
    cursor.execute(
        "SELECT name, camera_id FROM cameras WHERE enabled AND name IN (%s, %s)",
        (camera, other_camera),
    )
    enabled: dict[str, str] = dict(cursor.fetchall())
    for name in (camera, other_camera):
        if name not in enabled:
            raise unknown_camera(name)
    camera, other_camera = enabled[camera], enabled[other_camera]
    cursor.execute(_SET, {"camera": camera, "other_camera": other_camera, "seconds": seconds})
    first, second = sorted((camera, other_camera))
    fact = pb.Fact(walking_time=pb.WalkingTime(camera_a=first, camera_b=second, seconds=seconds))
    enqueue(cursor, FACTS.name, walking_fact_key(camera, other_camera), fact.SerializeToString())


def remove(cursor: Cursor, camera: str, other_camera: str) -> None:
    """Delete a walking time, and publish that to the matchers. Raises NotFoundError."""
    names = (camera, other_camera)
    camera, other_camera = ids_of(cursor.connection, names)
    cursor.execute(_REMOVE, {"camera": camera, "other_camera": other_camera})
    if not cursor.rowcount:
        raise NotFoundError(f"no walking time between {names[0][:64]!r} and {names[1][:64]!r}")
    enqueue(cursor, FACTS.name, walking_fact_key(camera, other_camera), None)


def list_walking_times(db: Connection) -> Sequence[dict[str, Any]]:
    """Return all walking times: camera_a and camera_b by name, seconds."""
    return dict_rows(
        db,
        "SELECT camera_name(camera_a) AS camera_a, camera_name(camera_b) AS camera_b, seconds"
        " FROM walking_times ORDER BY 1, 2",
    )
