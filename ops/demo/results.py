"""What the pipeline has found: rows out of PostgreSQL, boxes and reasons out of Kafka."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg.rows import dict_row

from ops.demo.truth import Box, Identity, Track
from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS, TRACKS
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection
from sightline.streaming.read import read_all

_ROWS = """
SELECT log.camera_id AS camera, log.track_uuid::text AS track_id, log.track_id AS track_number,
    CASE WHEN log.access_status = 'unknown' THEN '' ELSE log.person_name END AS name,
    log.global_id, log.timestamp AS seen_at,
    extract(epoch FROM log.recorded_at - log.timestamp)::float8 AS latency,
    log.snapshot_path AS snapshot
FROM access_logs AS log ORDER BY log.timestamp, log.id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What the demo reads of a row of `access_logs`."""

    camera: str
    track_id: str
    track_number: int
    identity: Identity
    seen_at: float  # seconds since the epoch
    latency: float  # seconds from the capture of the frame that decided to the row
    snapshot: str | None  # the object's key


@dataclass(frozen=True, slots=True)
class Nearest:
    """The enrolled person who came nearest to a track, named or not, at its last decision."""

    camera: str
    track_number: int
    candidate: str  # name
    score: float
    threshold: float  # what the decision was held against
    said: str  # name; empty where it was not said
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the pipeline has found."""

    frames: int  # that vision has seen
    tracks: tuple[Track, ...]
    rows: tuple[Row, ...]
    visitor_logs: int
    snapshots: int  # pictures stored
    nearest: tuple[Nearest, ...] = ()


def read_found(settings: Settings, db: Connection) -> Found:
    """Read it all. Raises SightlineError when Kafka does not give it."""
    rows = tuple(_rows(db))
    said: dict[str, set[Identity]] = defaultdict(set)
    for row in rows:
        said[row.track_id].add(row.identity)
    frames = 0
    boxes: dict[tuple[str, str], dict[int, Box]] = defaultdict(dict)
    for record in read_all(settings, TRACKS):
        message = record.decode(pb.FrameTracks)
        frames += 1
        for one in message.tracks:
            box = (one.box.x1, one.box.y1, one.box.x2, one.box.y2)
            # A camera counts its frames from 1.
            boxes[message.camera_id, one.track_id][message.sequence - 1] = box
    tracks = tuple(
        Track(track_id, camera, track, frozenset(said[track_id]))
        for (camera, track_id), track in boxes.items()
    )
    return Found(
        frames=frames,
        tracks=tracks,
        rows=rows,
        visitor_logs=_count(db, "SELECT count(*) FROM visitor_logs"),
        snapshots=_count(db, "SELECT count(*) FROM snapshots WHERE is_own"),
        nearest=tuple(_nearest(settings, db)),
    )


def _nearest(settings: Settings, db: Connection) -> Iterator[Nearest]:
    """Out of the topic `sightings`: what is not decided has no row."""
    names = {str(key): str(name) for key, name in db.execute("SELECT id, name FROM employees")}
    last: dict[str, pb.Sighting] = {}
    for record in read_all(settings, SIGHTINGS):
        sighting = record.decode(pb.Sighting)
        last[sighting.track_id] = sighting
    for one in sorted(last.values(), key=lambda one: (one.first_seen_us, one.track_id)):
        if one.candidate in names:
            yield Nearest(
                camera=one.camera_id,
                track_number=one.track_number,
                candidate=names[one.candidate],
                score=one.candidate_score,
                threshold=one.threshold,
                said=one.name,
                reason=one.reason,
            )


def _rows(db: Connection) -> Iterator[Row]:
    with db.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(_ROWS):
            identity = Identity(row.pop("name"), row.pop("global_id"))
            yield Row(identity=identity, seen_at=row.pop("seen_at").timestamp(), **row)


def _count(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
