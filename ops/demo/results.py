"""Output of the pipeline: rows from PostgreSQL, boxes and reasons from Kafka."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from psycopg.rows import dict_row

from ops.demo.truth import Box, DecidedIdentity, TrackBoxes
from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS, TRACKS
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection
from sightline.streaming.topic_reader import read_topic

_ACCESS_LOG = """
SELECT log.camera_id AS camera, log.track_uuid::text AS track_id, log.track_id AS track_number,
    CASE WHEN log.access_status = 'unknown' THEN '' ELSE log.person_name END AS name,
    log.global_id, log.reason, log.timestamp AS seen_at,
    extract(epoch FROM log.recorded_at - log.timestamp)::float8 AS latency,
    log.snapshot_path AS snapshot
FROM access_logs AS log ORDER BY log.timestamp, log.id
"""


@dataclass(frozen=True, slots=True)
class AccessLogOutput:
    """Columns of a row of `access_logs` that the demo reads."""

    camera: str
    track_id: str
    track_number: int
    identity: DecidedIdentity | None  # None of somebody whom no face identified
    reason: str  # of the decision
    seen_at: float  # seconds since the epoch
    latency: float  # seconds from the capture of the frame that decided to the row
    snapshot: str | None  # the object's key


@dataclass(frozen=True, slots=True)
class NearestEmployee:
    """Enrolled person nearest to a track, named or not, at the track's last decision."""

    camera: str
    track_number: int
    candidate: str  # name
    score: float
    threshold: float  # of the decision
    decided_name: str  # name of the decision; empty if it gave none
    reason: str


@dataclass(frozen=True, slots=True)
class PipelineOutput:
    """Output of the pipeline."""

    frames: int  # processed by vision
    tracks: tuple[TrackBoxes, ...]
    rows: tuple[AccessLogOutput, ...]
    visitor_logs: int
    snapshots: int  # stored pictures
    nearest: tuple[NearestEmployee, ...] = ()


def read_output(settings: Settings, db: Connection) -> PipelineOutput:
    """Read the pipeline's output. Raises SightlineError if Kafka fails."""
    rows = tuple(_rows(db))
    identities: dict[str, set[DecidedIdentity]] = defaultdict(set)
    for row in rows:
        if row.identity is not None:
            identities[row.track_id].add(row.identity)
    frames = 0
    boxes: dict[tuple[str, str], dict[int, Box]] = defaultdict(dict)
    for record in read_topic(settings, TRACKS):
        message = record.decode(pb.FrameTracks)
        frames += 1
        for track in message.tracks:
            box = (track.box.x1, track.box.y1, track.box.x2, track.box.y2)
            # A camera counts its frames from 1.
            boxes[message.camera_id, track.track_id][message.sequence - 1] = box
    tracks = tuple(
        TrackBoxes(track_id, camera, boxes_by_frame, frozenset(identities[track_id]))
        for (camera, track_id), boxes_by_frame in boxes.items()
    )
    return PipelineOutput(
        frames=frames,
        tracks=tracks,
        rows=rows,
        visitor_logs=_count(db, "SELECT count(*) FROM visitor_logs"),
        snapshots=_count(db, "SELECT count(*) FROM snapshots WHERE is_own"),
        nearest=tuple(_nearest(settings, db)),
    )


def _nearest(settings: Settings, db: Connection) -> Iterator[NearestEmployee]:
    """Yield nearest persons from the topic `sightings`: undecided tracks have no row."""
    names = {str(key): str(name) for key, name in db.execute("SELECT id, name FROM employees")}
    last: dict[str, pb.Sighting] = {}
    for record in read_topic(settings, SIGHTINGS):
        sighting = record.decode(pb.Sighting)
        last[sighting.track_id] = sighting
    for sighting in sorted(
        last.values(), key=lambda sighting: (sighting.first_seen_us, sighting.track_id)
    ):
        if sighting.candidate in names:
            yield NearestEmployee(
                camera=sighting.camera_id,
                track_number=sighting.track_number,
                candidate=names[sighting.candidate],
                score=sighting.candidate_score,
                threshold=sighting.threshold,
                decided_name=sighting.name,
                reason=sighting.reason,
            )


def _rows(db: Connection) -> Iterator[AccessLogOutput]:
    with db.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(_ACCESS_LOG):
            name, global_id = row.pop("name"), row.pop("global_id")
            identity = None if global_id is None else DecidedIdentity(name, global_id)
            yield AccessLogOutput(identity=identity, seen_at=row.pop("seen_at").timestamp(), **row)


def _count(db: Connection, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
