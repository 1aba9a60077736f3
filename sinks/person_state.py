"""Person state: one row for each person with where they are now and what is known of them.

What a track adds up to is kept in `person_tracks`, exactly once; `detected_persons` is computed
from it, for the people whose tracks have changed, every few seconds at most.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from google.protobuf.message import Message

from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS, TRACKS
from sightline import metrics
from sightline.clock import Clock, SystemClock, to_datetime
from sightline.kafka.sink import Cursor, SinkLoop, Taken
from sightline.lifecycle import start_service
from sightline.settings import Settings
from sinks.decisions import cameras, decided, lock, messages, rank

_NOBODY_FOR = timedelta(days=1)
"""Tracks whose person was never decided are forgotten this long after their last frame."""

_FORGET_SECONDS = 3600.0

_TRACK = """
INSERT INTO person_tracks AS track (
    track_uuid, camera_id, first_seen, last_seen, detections, sum_height, sum_width, last_box)
VALUES (%(track)s, %(camera_id)s, %(first_seen)s, %(last_seen)s, %(detections)s, %(height)s,
    %(width)s, %(box)s)
ON CONFLICT (track_uuid) DO UPDATE SET
    first_seen = least(track.first_seen, excluded.first_seen),
    last_seen = greatest(track.last_seen, excluded.last_seen),
    detections = track.detections + excluded.detections,
    sum_height = track.sum_height + excluded.sum_height,
    sum_width = track.sum_width + excluded.sum_width,
    last_box = CASE WHEN excluded.detections > 0
        AND (track.detections = 0 OR excluded.last_seen >= track.last_seen)
        THEN excluded.last_box ELSE track.last_box END
"""

# The identity in force is that of the latest epoch; global id null: taken back. Returns who the
# track was before as well, whose row has to follow.
_IDENTITY = """
WITH before AS (SELECT global_id FROM person_tracks WHERE track_uuid = %(track)s)
UPDATE person_tracks SET
    global_id = %(global_id)s, person_id = %(person_id)s, name = %(name)s,
    confidence = %(confidence)s, embedding = %(embedding)s, pack = %(pack)s,
    face_quality = %(face_quality)s, epoch = %(epoch)s, decided_at = %(decided_at)s,
    decision = %(decision)s
WHERE track_uuid = %(track)s AND (decision IS NULL OR %(decision)s > 1
    AND (epoch, decided_at, decision) <= (%(epoch)s, %(decided_at)s, %(decision)s)
    AND (%(global_id)s::bigint IS NOT NULL OR epoch = %(epoch)s))
RETURNING (SELECT global_id FROM before)
"""

_STALE = """
INSERT INTO stale_persons (global_id)
SELECT DISTINCT global_id FROM (
    SELECT global_id FROM person_tracks WHERE track_uuid = ANY(%s::uuid[])
    UNION ALL SELECT unnest(%s::bigint[])
) AS touched
WHERE global_id IS NOT NULL ORDER BY global_id
ON CONFLICT DO NOTHING
"""

# Sizes: the mean over a camera's detections, then over cameras, so that a camera that sees a
# person for long counts no more than one that sees them well.
_PERSONS = """
WITH track AS (
    SELECT * FROM person_tracks WHERE global_id = ANY(%(persons)s)
), camera AS (
    SELECT global_id, camera_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        sum(sum_height) / nullif(sum(detections), 0) AS height,
        sum(sum_width) / nullif(sum(detections), 0) AS width,
        (array_agg(to_jsonb(last_box) ORDER BY last_seen DESC, track_uuid))[1] AS box
    FROM track GROUP BY global_id, camera_id
), seen AS (
    SELECT global_id, avg(height) AS height, avg(width) AS width,
        jsonb_agg(camera_id ORDER BY first_seen, camera_id) AS cameras,
        jsonb_object_agg(camera_id, jsonb_build_object(
            'bbox', box, 'timestamp', to_jsonb(last_seen))) AS positions,
        (array_agg(camera_id ORDER BY last_seen DESC, camera_id))[1] AS last_camera
    FROM camera GROUP BY global_id
), total AS (
    SELECT global_id, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        count(*) AS tracks, sum(detections) AS detections,
        jsonb_build_object('best', max(face_quality), 'mean', avg(face_quality),
            'confidence', max(confidence)) AS quality
    FROM track GROUP BY global_id
), face AS (
    SELECT DISTINCT ON (global_id) global_id, embedding, pack, face_quality
    FROM track WHERE embedding IS NOT NULL
    ORDER BY global_id, face_quality DESC, track_uuid
), person AS (
    SELECT DISTINCT ON (global_id) global_id, person_id, name
    FROM track ORDER BY global_id, decided_at DESC, track_uuid
)
INSERT INTO detected_persons AS known (
    global_id, person_id, assigned_name, face_embedding, embedding_pack, face_quality,
    avg_height_pixels, avg_width_pixels, first_seen, last_seen, total_appearances,
    cameras_visited, is_active, current_room_id, current_positions, total_detections,
    quality_scores)
SELECT total.global_id, employee.id, person.name, face.embedding, face.pack, face.face_quality,
    seen.height, seen.width, total.first_seen, total.last_seen, total.tracks, seen.cameras,
    total.last_seen >= %(active_since)s, place.room_id, seen.positions, total.detections,
    total.quality
FROM total
JOIN seen USING (global_id)
JOIN person USING (global_id)
LEFT JOIN face USING (global_id)
LEFT JOIN employees employee ON employee.id = person.person_id
LEFT JOIN cameras place ON place.camera_id = seen.last_camera
ORDER BY total.global_id
ON CONFLICT (global_id) DO UPDATE SET
    -- A name that a person has given to somebody unknown stays.
    assigned_name = coalesce(excluded.assigned_name, known.assigned_name),
    updated_at = now(),
    (person_id, face_embedding, embedding_pack, face_quality, avg_height_pixels,
     avg_width_pixels, first_seen, last_seen, total_appearances, cameras_visited, is_active,
     current_room_id, current_positions, total_detections, quality_scores) =
    (excluded.person_id, excluded.face_embedding, excluded.embedding_pack, excluded.face_quality,
     excluded.avg_height_pixels, excluded.avg_width_pixels, excluded.first_seen,
     excluded.last_seen, excluded.total_appearances, excluded.cameras_visited,
     excluded.is_active, excluded.current_room_id, excluded.current_positions,
     excluded.total_detections, excluded.quality_scores)
"""

# Their tracks turned out to be others'. What a person has named stays, with nothing seen.
_GONE = """
DELETE FROM detected_persons known
WHERE global_id = ANY(%s) AND (assigned_name IS NULL OR person_id IS NOT NULL)
    AND NOT EXISTS (SELECT FROM person_tracks track WHERE track.global_id = known.global_id)
"""

_EMPTY = """
UPDATE detected_persons known
SET total_appearances = 0, total_detections = 0, cameras_visited = '[]', current_positions = '{}',
    quality_scores = '{}', is_active = false, current_room_id = NULL, updated_at = now()
WHERE global_id = ANY(%s)
    AND NOT EXISTS (SELECT FROM person_tracks track WHERE track.global_id = known.global_id)
"""

_INACTIVE = """
UPDATE detected_persons SET is_active = false, updated_at = now()
WHERE is_active AND last_seen < %s
"""


class PersonState:
    """Writes `person_tracks` and `detected_persons`."""

    name = "person-state"
    topics: Mapping[str, type[Message]] = {
        TRACKS.name: pb.FrameTracks,
        SIGHTINGS.name: pb.Sighting,
    }

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.batch_seconds = settings.sinks.person_state_seconds
        self._inactive = timedelta(seconds=settings.sinks.inactive_seconds)
        self._clock = clock or SystemClock()
        self._due = self._forget_due = self._clock.monotonic()

    def write(self, cursor: Cursor, batch: Sequence[Taken]) -> None:
        """Add what a batch says of its tracks, and remember whose rows that makes stale."""
        frames = messages(batch, pb.FrameTracks)
        sightings = decided(messages(batch, pb.Sighting))
        cameras(cursor, {*(one.camera_id for one in frames), *(one.camera_id for one in sightings)})
        tracks = add_up(frames, sightings)
        if not tracks:
            return
        # A track's frames and its sightings may be read by two workers.
        lock(cursor, self.name, tracks)
        cursor.executemany(_TRACK, [track.row() for track in tracks.values()])
        before = _identify(cursor, sightings)
        cursor.execute(_STALE, (list(tracks), before))
        metrics.ROWS.labels(self.name, "person_tracks").inc(len(tracks))

    def idle(self, cursor: Cursor) -> None:
        """Compute the rows that are stale, when they are due, and who is not here any more."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        # One worker at a time does this, for the people of all.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", (self.name,))
        if cursor.fetchone() != (True,):
            return
        self._due = now + self.batch_seconds
        active_since = to_datetime(self._clock.now_us()) - self._inactive
        self._compute(cursor, active_since)
        cursor.execute(_INACTIVE, (active_since,))
        if now >= self._forget_due:
            self._forget_due = now + _FORGET_SECONDS
            cursor.execute(
                "DELETE FROM person_tracks WHERE global_id IS NULL AND last_seen < %s",
                (to_datetime(self._clock.now_us()) - _NOBODY_FOR,),
            )

    def _compute(self, cursor: Cursor, active_since: datetime) -> None:
        cursor.execute("DELETE FROM stale_persons RETURNING global_id")
        persons = sorted(row[0] for row in cursor.fetchall())
        if not persons:
            return
        cursor.execute(_PERSONS, {"persons": persons, "active_since": active_since})
        metrics.ROWS.labels(self.name, "detected_persons").inc(cursor.rowcount)
        cursor.execute(_GONE, (persons,))
        cursor.execute(_EMPTY, (persons,))


@dataclass(slots=True)
class TrackSum:
    """What a batch adds to a track; sizes in pixels."""

    track: str
    camera_id: str
    first_seen_us: int
    last_seen_us: int
    box: list[float]
    detections: int = 0
    height: float = 0.0
    width: float = 0.0

    def row(self) -> dict[str, Any]:
        """The values of its row."""
        return {
            "track": self.track,
            "camera_id": self.camera_id,
            "first_seen": to_datetime(self.first_seen_us),
            "last_seen": to_datetime(self.last_seen_us),
            "detections": self.detections,
            "height": self.height,
            "width": self.width,
            "box": self.box,
        }


def add_up(
    frames: Iterable[pb.FrameTracks], sightings: Iterable[pb.Sighting]
) -> dict[str, TrackSum]:
    """What a batch adds to each track, by track id.

    A sighting adds no detection: its frame is in `frames` too, of this batch or another. Its
    box is that of the best shot and stands in until one of a frame comes.
    """
    tracks: dict[str, TrackSum] = {}
    for frame in frames:
        for one in frame.tracks:
            track = _track(tracks, one.track_id, frame.camera_id, frame.captured_at_us, one.box)
            track.detections += 1
            track.height += one.box.y2 - one.box.y1
            track.width += one.box.x2 - one.box.x1
    for sighting in sightings:
        if sighting.track_id not in tracks:
            at_us = sighting.decided_at_us
            _track(tracks, sighting.track_id, sighting.camera_id, at_us, sighting.track_box)
    return tracks


def _track(
    tracks: dict[str, TrackSum], track_id: str, camera_id: str, at_us: int, box: pb.Box
) -> TrackSum:
    sides = [box.x1, box.y1, box.x2, box.y2]
    track = tracks.setdefault(track_id, TrackSum(track_id, camera_id, at_us, at_us, sides))
    track.first_seen_us = min(track.first_seen_us, at_us)
    if at_us >= track.last_seen_us:
        track.last_seen_us = at_us
        track.box = sides
    return track


def _identify(cursor: Cursor, sightings: Sequence[pb.Sighting]) -> list[int]:
    """Say who the tracks of these sightings are; returns who they were before."""
    if not sightings:
        return []
    cursor.executemany(_IDENTITY, [_identity_row(one) for one in sightings], returning=True)
    before: list[int] = []
    for result in cursor.results():
        before += [row[0] for row in result if row[0] is not None]
    return before


def _identity_row(sighting: pb.Sighting) -> dict[str, Any]:
    known = bool(sighting.person_id)
    vector = np.frombuffer(sighting.template, "<f4") if sighting.template else None
    return {
        "track": sighting.track_id,
        "global_id": sighting.global_id or None,
        "person_id": sighting.person_id or None,
        "name": sighting.name if known else None,
        "confidence": sighting.confidence,
        "embedding": vector,
        "pack": sighting.pack,
        "face_quality": sighting.face_quality,
        "epoch": sighting.epoch,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rank(sighting),
    }


def run(settings: Settings) -> None:
    """Run the service until it is told to stop."""
    stop = start_service(PersonState.name, settings)
    SinkLoop(PersonState(settings), settings).run(stop)
