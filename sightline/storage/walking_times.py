"""Walking times: nobody gets from one camera to another in less. Matchers are told by facts."""

import math
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import TupleRow, dict_row

from schemas import sightline_pb2 as pb
from schemas.topics import FACTS
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.db import Connection
from sightline.storage.outbox import enqueue

_DAY_SECONDS = 86_400.0

# The database has its own order of letters, so it says itself which of the two is the first.
_SET = """
INSERT INTO walking_times (camera_a, camera_b, seconds)
VALUES (least(%(one)s, %(other)s), greatest(%(one)s, %(other)s), %(seconds)s)
ON CONFLICT (camera_a, camera_b) DO UPDATE SET seconds = excluded.seconds
"""

_REMOVE = """
DELETE FROM walking_times
WHERE camera_a = least(%(one)s, %(other)s) AND camera_b = greatest(%(one)s, %(other)s)
"""

Cursor = psycopg.Cursor[TupleRow]


def set_time(cursor: Cursor, one: str, other: str, seconds: float) -> None:
    """Say how long the way between two cameras takes at least, and tell the matchers.

    Raises SightlineError for what is no time, NotFoundError for a camera that there is not.
    """
    if one == other:
        raise SightlineError("a walking time is between two cameras")
    if not (math.isfinite(seconds) and 0 < seconds <= _DAY_SECONDS):
        raise SightlineError(f"{seconds:g} s is no walking time; more than 0, a day at most")
    cursor.execute(
        "SELECT camera_id FROM cameras WHERE enabled AND camera_id IN (%s, %s)", (one, other)
    )
    found = {row[0] for row in cursor.fetchall()}
    for camera in (one, other):
        if camera not in found:
            raise NotFoundError(f"no camera {camera[:64]!r}; see `sightline camera list`")
    cursor.execute(_SET, {"one": one, "other": other, "seconds": seconds})
    first, second = sorted((one, other))
    fact = pb.Fact(walking_time=pb.WalkingTime(camera_a=first, camera_b=second, seconds=seconds))
    enqueue(cursor, FACTS.name, _key(one, other), fact.SerializeToString())


def remove(cursor: Cursor, one: str, other: str) -> None:
    """Take a walking time back, and tell the matchers. Raises NotFoundError."""
    cursor.execute(_REMOVE, {"one": one, "other": other})
    if not cursor.rowcount:
        raise NotFoundError(f"no walking time between {one[:64]!r} and {other[:64]!r}")
    enqueue(cursor, FACTS.name, _key(one, other), None)


def listed(db: Connection) -> Sequence[dict[str, Any]]:
    """All walking times: camera_a, camera_b, seconds."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT camera_a, camera_b, seconds FROM walking_times ORDER BY camera_a, camera_b"
        ).fetchall()


def _key(one: str, other: str) -> str:
    return "walking|" + "|".join(sorted((one, other)))
