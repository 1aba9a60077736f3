"""Rows of `visitor_logs`, computed from `visit_evidence`.

A visit begins when its person was first seen in the event: an event may last for hours.

The sink of visits computes them as sightings arrive, a correction at once. The caller holds the
lock that keeps other writers away.
"""

from collections.abc import Sequence

from sightline.storage.db import Cursor

_VISITS = """
INSERT INTO visitor_logs AS visit (
    visitor_log_id, camera_name, persons_name, confidence_score, visited_at, motion_event_id,
    employee_id, global_id)
SELECT DISTINCT ON (evidence.visitor_log_id)
    evidence.visitor_log_id, event.camera_id, evidence.persons_name, evidence.confidence_score,
    greatest(event.started_at,
        min(evidence.first_seen) OVER (PARTITION BY evidence.visitor_log_id)),
    event.event_id, employee.id, evidence.global_id
FROM visit_evidence evidence
JOIN motion_events event ON event.event_id = evidence.motion_event_id
LEFT JOIN employees employee ON employee.id = evidence.employee_id
WHERE event.event_id = ANY(%s::uuid[]) AND event.started_at IS NOT NULL
    AND evidence.global_id IS DISTINCT FROM 0 -- null is of somebody unidentified
ORDER BY evidence.visitor_log_id, evidence.confidence_score DESC, evidence.decided_at DESC,
    evidence.sighting_id
ON CONFLICT (visitor_log_id) DO UPDATE SET
    (persons_name, confidence_score, visited_at, employee_id) =
    (excluded.persons_name, excluded.confidence_score, excluded.visited_at, excluded.employee_id)
WHERE (visit.persons_name, visit.confidence_score, visit.visited_at, visit.employee_id)
    IS DISTINCT FROM (excluded.persons_name, excluded.confidence_score, excluded.visited_at,
    excluded.employee_id)
"""

_NO_VISITS = """
DELETE FROM visitor_logs visit
WHERE visit.motion_event_id = ANY(%s::uuid[]) AND NOT EXISTS (
    SELECT FROM visit_evidence evidence
    WHERE evidence.motion_event_id = visit.motion_event_id
        AND evidence.visitor_log_id = visit.visitor_log_id
        AND evidence.global_id IS DISTINCT FROM 0)
"""


def compute(cursor: Cursor, events: Sequence[str]) -> int:
    """Update the visits of these motion events; return the number of rows written."""
    if not events:
        return 0
    cursor.execute(_NO_VISITS, (events,))
    cursor.execute(_VISITS, (events,))
    return cursor.rowcount
