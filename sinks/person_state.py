"""Person state: one row for each person, with their present place and identity.

The sums of each track are stored in `person_tracks`, every frame once; `detected_persons` is
computed from them, for the people whose tracks have changed, every few seconds at most.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas import sightline_pb2 as pb
from schemas.naming import AdvisoryLock, track_context
from schemas.topics import LIVE, SIGHTINGS, TRACKS
from sightline.people import identity_corrections, person_rows, reference_facts, suppression_list
from sightline.runtime import metrics
from sightline.runtime.clock import CLOCK_TOLERANCE_US, Clock, SystemClock, to_datetime
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage import face_columns
from sightline.storage.db import Cursor
from sinks import sighting_rules as rules
from sinks.promotion_router import with_promotions
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import RowWriter
from sinks.runtime.sink import DecodedRecord
from sinks.settings import SinkSettings

_UNDECIDED_TTL = timedelta(days=1)
"""Tracks whose person was never decided are deleted this long after their last frame."""

_CLEAN_UP_INTERVAL_SECONDS = 3600.0

_TRACK = """
INSERT INTO person_tracks AS track (
    track_uuid, camera_id, site_id, motion_event_id, first_seen, last_seen, detections,
    sum_height, sum_width, last_box)
VALUES (%(track)s, %(camera_id)s, %(site_id)s, %(event_id)s, %(first_seen)s, %(last_seen)s,
    %(detections)s, %(height)s, %(width)s, %(box)s)
ON CONFLICT (track_uuid) DO UPDATE SET
    (site_id, motion_event_id) = (excluded.site_id, excluded.motion_event_id),
    first_seen = least(track.first_seen, excluded.first_seen),
    last_seen = greatest(track.last_seen, excluded.last_seen),
    detections = track.detections + excluded.detections,
    sum_height = track.sum_height + excluded.sum_height,
    sum_width = track.sum_width + excluded.sum_width,
    last_box = CASE WHEN excluded.detections > 0
        AND (track.detections = 0 OR excluded.last_seen >= track.last_seen)
        THEN excluded.last_box ELSE track.last_box END
"""

# The identity in force is that of the latest epoch; global id null: revoked. Returns the earlier
# person of the track as well, whose row has to follow.
_IDENTITY = """
WITH before AS (SELECT global_id FROM person_tracks WHERE track_uuid = %(track)s)
UPDATE person_tracks SET
    global_id = %(global_id)s, person_id = %(person_id)s, name = %(name)s,
    score = %(score)s, confidence = %(confidence)s, embedding = %(embedding)s,
    embedding_sealed = %(encrypted)s, pack = %(pack)s, face_quality = %(face_quality)s,
    epoch = %(epoch)s, decided_at = %(decided_at)s, decision = %(decision)s
WHERE track_uuid = %(track)s AND (decision IS NULL OR %(decision)s > 1
    AND (epoch, decided_at, decision) <= (%(epoch)s, %(decided_at)s, %(decision)s)
    AND (%(global_id)s::bigint IS NOT NULL OR epoch = %(epoch)s))
RETURNING (SELECT global_id FROM before)
"""

_ERASED = "DELETE FROM person_tracks WHERE track_uuid = ANY(%s::uuid[])"

_STALE = """
INSERT INTO stale_persons (global_id)
SELECT DISTINCT global_id FROM (
    SELECT global_id FROM person_tracks WHERE track_uuid = ANY(%s::uuid[])
    UNION ALL SELECT unnest(%s::bigint[])
) AS touched
WHERE global_id IS NOT NULL ORDER BY global_id
ON CONFLICT DO NOTHING
"""

_INACTIVE = """
UPDATE detected_persons person SET is_active = false, updated_at = now()
WHERE is_active AND last_seen < %(since)s AND NOT EXISTS (
    SELECT FROM person_tracks track JOIN camera_clocks clock USING (camera_id)
    WHERE track.global_id = person.global_id AND track.last_seen + clock.behind >= %(since)s)
"""

# A camera's clock that is behind by more shows a recording.
_CLOCK = """
INSERT INTO camera_clocks AS clock (camera_id, behind, updated_at)
SELECT %(camera)s, CASE WHEN behind BETWEEN interval '0' AND interval '1 hour' THEN behind
    ELSE interval '0' END, %(now)s
FROM (SELECT %(now)s - %(captured)s AS behind) AS measured
ON CONFLICT (camera_id) DO UPDATE SET (behind, updated_at) = (excluded.behind, excluded.updated_at)
"""


# Unknown persons without a name, unseen for long; their logs stay. A person in an old film that is
# read now counts as seen now.
_DELETE_UNKNOWN = """
DELETE FROM detected_persons
WHERE NOT is_active AND person_id IS NULL AND assigned_name IS NULL
    AND greatest(last_seen, updated_at) < %s
"""


class PersonState(RowWriter):
    """Writes `person_tracks` and `detected_persons`."""

    name = "person-state"

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        super().__init__(settings, (TRACKS, pb.FrameTracks), (SIGHTINGS, pb.Sighting))
        self._is_live = settings.run == LIVE
        self.batch_seconds = SinkSettings.of(settings).person_state_seconds
        self._inactive_after = timedelta(seconds=settings.match.inactive_seconds)
        self._unknown_ttl = timedelta(days=settings.match.unknown_person_ttl_days)
        self._clock = clock or SystemClock()
        self._due_at = self._clean_up_at = self._clock.monotonic()

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        """Add the frames and sightings of a batch to their tracks, and note the stale persons."""
        frames = rules.messages(batch, pb.FrameTracks)
        sightings = rules.with_corrections(
            cursor, rules.decisions_in_force(rules.new_sightings(batch))
        )
        rules.entry_points(
            cursor, {part.camera_id for parts in (frames, sightings) for part in parts}
        )
        now_us = self._clock.now_us()
        if self._is_live:
            cursor.executemany(_CLOCK, _clocks(frames, now_us))
        sums = add_up(frames, sightings, now_us + CLOCK_TOLERANCE_US)
        decided = {sighting.track_id for sighting in rules.messages(batch, pb.Sighting)}
        erased = suppression_list.suppressed_tracks(cursor, sums.keys() | decided)
        tracks = {track: added for track, added in sums.items() if track not in erased}
        if erased:
            # Of a track that was counted before its person was decided.
            cursor.execute(_ERASED, (sorted(erased),))
        if not tracks:
            return
        # A track's frames and its sightings may be read by two workers.
        rules.lock(cursor, self.name, tracks)
        cursor.executemany(_TRACK, [track.row() for track in tracks.values()])
        before = _identify(cursor, sightings)
        cursor.execute(_STALE, (list(tracks), before))
        if self._is_live:
            # Matchers get the template of a track that was corrected before it had one.
            with_template = [sighting.track_id for sighting in sightings if sighting.template]
            reference_facts.publish_tracks(cursor, with_template)
        metrics.ROWS.labels(self.name, "person_tracks").inc(len(tracks))

    def idle(self, cursor: Cursor) -> None:
        """Compute the stale rows when they are due, and mark people as inactive."""
        now = self._clock.monotonic()
        if now < self._due_at:
            return
        identity_corrections.lock_shared(cursor)
        # One worker at a time does this, for the people of all workers.
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (AdvisoryLock.PERSON_STATE,))
        if cursor.fetchone() != (True,):
            return
        self._due_at = now + self.batch_seconds
        active_since = to_datetime(self._clock.now_us()) - self._inactive_after
        self._compute(cursor, active_since)
        cursor.execute(_INACTIVE, {"since": active_since})
        if now >= self._clean_up_at:
            self._clean_up_at = now + _CLEAN_UP_INTERVAL_SECONDS
            self._clean_up(cursor, to_datetime(self._clock.now_us()))

    def _clean_up(self, cursor: Cursor, now: datetime) -> None:
        cursor.execute(
            "DELETE FROM person_tracks WHERE global_id IS NULL AND last_seen < %s",
            (now - _UNDECIDED_TTL,),
        )
        cursor.execute(_DELETE_UNKNOWN, (now - self._unknown_ttl,))

    def _compute(self, cursor: Cursor, active_since: datetime) -> None:
        cursor.execute("DELETE FROM stale_persons RETURNING global_id")
        persons = sorted(row[0] for row in cursor.fetchall())
        if not persons:
            return
        written = person_rows.compute(cursor, persons, active_since)
        metrics.ROWS.labels(self.name, "detected_persons").inc(written)


@dataclass(slots=True)
class TrackSum:
    """Sums that a batch adds to a track; sizes in pixels."""

    track: str
    camera_id: str
    site_id: str
    event_id: str
    first_seen_us: int
    last_seen_us: int
    box: list[float]
    detections: int = 0
    height: float = 0.0
    width: float = 0.0

    def row(self) -> dict[str, Any]:
        """Return the values of the track's row."""
        first, last = to_datetime(self.first_seen_us), to_datetime(self.last_seen_us)
        return asdict(self) | {"first_seen": first, "last_seen": last}


def _clocks(frames: Iterable[pb.FrameTracks], now_us: int) -> list[dict[str, Any]]:
    """Return the newest capture time of each camera, by camera: two workers update in one order."""
    newest: dict[str, int] = {}
    for frame in frames:
        newest[frame.camera_id] = max(newest.get(frame.camera_id, 0), frame.captured_at_us)
    return [
        {"camera": camera, "captured": to_datetime(at_us), "now": to_datetime(now_us)}
        for camera, at_us in sorted(newest.items())
    ]


def add_up(
    frames: Iterable[pb.FrameTracks], sightings: Iterable[pb.Sighting], latest_us: int
) -> dict[str, TrackSum]:
    """Return the sums of a batch, by track id.

    A sighting adds no detection: its frame is in `frames` too, of this batch or another. Its
    box is that of the best observation and stands in until the box of a frame comes. A repeated
    frame adds none either. Nobody was seen after `latest_us`: a camera's clock may be ahead.
    """
    tracks: dict[str, TrackSum] = {}
    for frame in frames:
        for detection in frame.tracks:
            box = detection.box
            at_us = min(frame.captured_at_us, latest_us)
            track = _track(tracks, detection.track_id, frame, at_us, box)
            if frame.again:
                continue
            track.detections += 1
            track.height += box.y2 - box.y1
            track.width += box.x2 - box.x1
    for sighting in sightings:
        if sighting.track_id not in tracks:
            at_us = min(sighting.decided_at_us, latest_us)
            _track(tracks, sighting.track_id, sighting, at_us, sighting.track_box)
    return tracks


def _track(
    tracks: dict[str, TrackSum],
    track_id: str,
    place: pb.FrameTracks | pb.Sighting,
    at_us: int,
    box: pb.Box,
) -> TrackSum:
    sides = [box.x1, box.y1, box.x2, box.y2]
    if track_id not in tracks:
        tracks[track_id] = TrackSum(
            track_id, place.camera_id, place.site_id, place.motion_event_id, at_us, at_us, sides
        )
    track = tracks[track_id]
    track.first_seen_us = min(track.first_seen_us, at_us)
    if at_us >= track.last_seen_us:
        track.last_seen_us = at_us
        track.box = sides
    return track


def _identify(cursor: Cursor, sightings: Sequence[pb.Sighting]) -> list[int]:
    """Store the persons of the sightings' tracks; return the earlier ones, by global id."""
    if not sightings:
        return []
    rows = [_identity_row(cursor, sighting) for sighting in sightings]
    cursor.executemany(_IDENTITY, rows, returning=True)
    before: list[int] = []
    for result in cursor.results():
        before += [row[0] for row in result if row[0] is not None]
    return before


def _identity_row(cursor: Cursor, sighting: pb.Sighting) -> dict[str, Any]:
    face = face_columns.embedding_from_bytes(sighting.template) if sighting.template else None
    embedding, encrypted = face_columns.to_columns(cursor, track_context(sighting.track_id), face)
    return {
        "track": sighting.track_id,
        "global_id": sighting.global_id or None,
        "person_id": sighting.person_id or None,
        "name": sighting.name or None,
        "score": sighting.score,
        "confidence": sighting.confidence,
        "embedding": embedding,
        "encrypted": encrypted,
        "pack": sighting.pack,
        "face_quality": sighting.face_quality,
        "epoch": sighting.epoch,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rules.rank(sighting),
    }


def run(settings: Settings) -> None:
    """Run the service until a stop is requested."""
    stop = start_service(PersonState.name, settings)
    SinkLoop(with_promotions(PersonState(settings), settings), settings).run(stop)
