"""Rows of `detected_persons`, computed from `person_tracks`.

The sink of person states computes them as sightings arrive, a correction at once. The caller holds
the lock that keeps other writers away.
"""

from collections.abc import Iterable
from datetime import datetime

from sightline.storage.db import Cursor, set_excluded

_COMPUTED = """person_id, assigned_name, face_embedding, face_embedding_sealed, face_track,
    embedding_pack, face_quality, avg_height_pixels, avg_width_pixels, first_seen, last_seen,
    total_appearances, cameras_visited, is_active, current_room_id, current_positions,
    total_detections, quality_scores"""

# Sizes: the mean over a camera's detections, then over cameras, so that a camera that sees a
# person for long counts no more than one that sees them well.
_PERSONS = f"""
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
        max(last_seen + coalesce(clock.behind, interval '0')) AS seen_by_our_clock,
        count(*) AS tracks, sum(detections) AS detections,
        jsonb_build_object('best', max(face_quality), 'mean', avg(face_quality),
            'confidence', max(confidence)) AS quality
    FROM track LEFT JOIN camera_clocks clock USING (camera_id) GROUP BY global_id
), face AS (
    SELECT DISTINCT ON (global_id) global_id, track_uuid, embedding, embedding_sealed, pack,
        face_quality
    FROM track WHERE num_nonnulls(embedding, embedding_sealed) > 0
    ORDER BY global_id, face_quality DESC, track_uuid
), person AS (
    SELECT DISTINCT ON (global_id) global_id, person_id, name
    FROM track ORDER BY global_id, decided_at DESC, track_uuid
)
INSERT INTO detected_persons AS known (global_id, {_COMPUTED})
SELECT total.global_id, employee.id, coalesce(given.name, person.name), face.embedding,
    face.embedding_sealed, face.track_uuid, face.pack, face.face_quality, seen.height, seen.width,
    total.first_seen, total.last_seen, total.tracks, seen.cameras,
    total.seen_by_our_clock >= %(active_since)s, place.room_id, seen.positions, total.detections,
    total.quality
FROM total
JOIN seen USING (global_id)
JOIN person USING (global_id)
LEFT JOIN face USING (global_id)
LEFT JOIN person_names given USING (global_id)
LEFT JOIN employees employee ON employee.id = person.person_id
LEFT JOIN cameras place ON place.camera_id = seen.last_camera
ORDER BY total.global_id
ON CONFLICT (global_id) DO UPDATE SET
    updated_at = now(),
    {set_excluded(_COMPUTED)}
"""  # noqa: S608 - our own columns

# All tracks of these persons belong to others now. A named person stays, without tracks.
_WITHOUT_TRACKS = """
DELETE FROM detected_persons known
WHERE global_id = ANY(%s)
    AND NOT EXISTS (SELECT FROM person_names given WHERE given.global_id = known.global_id)
    AND NOT EXISTS (SELECT FROM person_tracks track WHERE track.global_id = known.global_id)
"""

_EMPTY = """
UPDATE detected_persons known
SET total_appearances = 0, total_detections = 0, cameras_visited = '[]', current_positions = '{}',
    quality_scores = '{}', is_active = false, current_room_id = NULL, updated_at = now()
WHERE global_id = ANY(%s)
    AND NOT EXISTS (SELECT FROM person_tracks track WHERE track.global_id = known.global_id)
"""

_FORGOTTEN = """
DELETE FROM detected_persons
WHERE global_id IN (
    SELECT (details ->> 'global_id')::bigint FROM corrections
    WHERE kind = 'forget' AND (details ->> 'global_id')::bigint = ANY(%s))
RETURNING global_id
"""


def compute(cursor: Cursor, persons: Iterable[int], active_since: datetime) -> int:
    """Update the rows of these persons; return the number of rows written.

    A person seen since `active_since` is active; a camera's clock that is behind is corrected.
    """
    ids = sorted(set(persons))
    cursor.execute(_PERSONS, {"persons": ids, "active_since": active_since})
    written = cursor.rowcount
    cursor.execute(_WITHOUT_TRACKS, (ids,))
    cursor.execute(_EMPTY, (ids,))
    cursor.execute(_FORGOTTEN, (ids,))
    return written
