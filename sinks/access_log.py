"""Access log: one row for each settled identity of a track, authorised or not.

A track that is over without an identity has a row as well, without a global id.
"""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS
from sightline.people.identity_corrections import UNKNOWN_NAME
from sightline.runtime import metrics
from sightline.runtime.clock import (
    CLOCK_TOLERANCE_US,
    US_PER_SECOND,
    Clock,
    SystemClock,
    to_datetime,
)
from sightline.runtime.lifecycle import start_service
from sightline.runtime.settings import Settings
from sightline.storage import camera_fixtures
from sightline.storage.camera_fixtures import CameraFixture
from sightline.storage.db import Cursor, set_excluded
from sinks import sighting_rules as rules
from sinks.promotion_router import with_promotions
from sinks.runtime.loop import SinkLoop
from sinks.runtime.postgres import RowWriter
from sinks.runtime.sink import DecodedRecord

_DECIDED = """timestamp, track_id, person_name, employee_id, is_authorized, access_status,
    confidence_score, aws_face_id, snapshot_path, entry_point, location_x, location_y, flagged,
    global_id, motion_event_id, score, threshold, pack, frame_topic, frame_partition, frame_offset,
    face_box, decision, shots, runner_up, runner_up_score, candidate, candidate_score, wanted_rate,
    calibration, gallery_people, gallery_revision, reason, first_seen, face_attempts, refusals"""
"""Columns that a later decision replaces."""

# A row depends on the decision in force alone, and not on how decisions are spread over batches.
# A row that is written again keeps the time at which it was first written.
_UPSERT = f"""
INSERT INTO access_logs AS log (id, track_uuid, epoch, camera_id, site_id, {_DECIDED})
SELECT %(id)s, %(track_uuid)s, %(epoch)s, %(camera_id)s, %(site_id)s, %(decided_at)s,
    %(track_id)s, %(person_name)s, employee.id, %(is_authorized)s, %(access_status)s,
    %(confidence)s, employee.aws_face_id, (SELECT path FROM snapshots WHERE sighting_id = %(id)s),
    %(entry_point)s, %(x)s, %(y)s, %(flagged)s, %(global_id)s, %(motion_event_id)s, %(score)s,
    %(threshold)s, %(pack)s, %(frame_topic)s, %(frame_partition)s, %(frame_offset)s, %(face_box)s,
    %(decision)s, %(shots)s, %(runner_up)s, %(runner_up_score)s, %(candidate)s,
    %(candidate_score)s, %(wanted_rate)s, %(calibration)s, %(gallery_people)s,
    %(gallery_revision)s, %(reason)s, %(first_seen)s, %(face_attempts)s, %(refusals)s
FROM (SELECT) AS source LEFT JOIN employees AS employee ON employee.id = %(employee_id)s::uuid
ON CONFLICT (id) DO UPDATE SET
    recorded_at = CASE WHEN log.timestamp < excluded.timestamp
        THEN excluded.recorded_at ELSE log.recorded_at END,
    {set_excluded(_DECIDED)}
WHERE excluded.decision > 1 -- the end of a track repeats its identity
    AND (log.timestamp, log.decision) <= (excluded.timestamp, excluded.decision)
"""  # noqa: S608 - our own columns

_AS_REPORTED = (
    "confidence", "epoch", "camera_id", "site_id", "motion_event_id", "score", "threshold", "pack",
    "shots", "gallery_people", "gallery_revision",
)  # fmt: skip
"""Parameters that are fields of the sighting."""

_REVOKE = """
DELETE FROM access_logs
WHERE id = %(id)s AND (timestamp, decision) <= (%(decided_at)s, %(decision)s)
"""

# Only by live rows: neither by a run nor by rows that a promoted run has replaced.
_LAST_SEEN = """
UPDATE employees SET last_seen = greatest(last_seen, %s)
WHERE id = %s AND current_schema() = 'public'
"""


class AccessLog(RowWriter):
    """Writes `access_logs`, and when an employee was last seen."""

    name = "access-log"

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        super().__init__(settings, (SIGHTINGS, pb.Sighting))
        self._clock = clock or SystemClock()

    def write(self, cursor: Cursor, batch: Sequence[DecodedRecord]) -> None:
        """Upsert the rows of a batch of sightings, and delete those of revoked decisions."""
        sightings = rules.with_corrections(
            cursor, rules.decisions_in_force(rules.new_sightings(batch))
        )
        if not sightings:
            return
        places = rules.entry_points(cursor, [sighting.camera_id for sighting in sightings])
        rules.lock(cursor, rules.PATH_LOCK, [sighting.sighting_id for sighting in sightings])
        continued = _continued(cursor, sightings)
        present: list[pb.Sighting] = []
        revoked: list[pb.Sighting] = []
        for sighting in sightings:
            has_row = rules.person_of(sighting) != 0 and sighting.sighting_id not in continued
            (present if has_row else revoked).append(sighting)
        rows = [row(sighting, places[sighting.camera_id]) for sighting in present]
        cursor.executemany(_UPSERT, rows)
        cursor.executemany(_REVOKE, [_version(sighting) for sighting in revoked])
        camera_fixtures.write(
            cursor, [_fixture(sighting) for sighting in revoked if sighting.fixture_since_us]
        )
        cursor.executemany(
            _LAST_SEEN, _last_seen(present, self._clock.now_us() + CLOCK_TOLERANCE_US)
        )
        self._measure(present)

    def _measure(self, sightings: Sequence[pb.Sighting]) -> None:
        metrics.ROWS.labels(self.name, "access_logs").inc(len(sightings))
        now_us = self._clock.now_us()
        for sighting in sightings:
            age_seconds = (now_us - sighting.decided_at_us) / US_PER_SECOND
            metrics.observe_age(metrics.CAPTURE_TO_ROW_SECONDS.labels(self.name), age_seconds)
            if sighting.person_id and sighting.status == pb.Sighting.CONFIRMED:
                metrics.observe_age(metrics.CAPTURE_TO_NAME_SECONDS, age_seconds)
                seen_seconds = (sighting.decided_at_us - sighting.first_seen_us) / US_PER_SECOND
                metrics.observe_age(metrics.SEEN_TO_NAME_SECONDS, seen_seconds)


def _continued(cursor: Cursor, sightings: Sequence[pb.Sighting]) -> set[str]:
    """Return the sightings of people who never left, and whose row another sighting has."""
    continuing = [sighting for sighting in sightings if sighting.continues]
    if not continuing:
        return set()
    rows = cursor.execute(
        "SELECT id::text, global_id FROM access_logs WHERE id = ANY(%s::uuid[])",
        ([sighting.continues for sighting in continuing],),
    ).fetchall()
    persons: dict[str, int | None] = dict(rows)
    return {
        sighting.sighting_id
        for sighting in continuing
        if sighting.global_id and persons.get(sighting.continues) == sighting.global_id
    }


def row(sighting: pb.Sighting, entry_point: str | None) -> dict[str, Any]:
    """Return the values of a sighting's row, by parameter of the upsert."""
    is_employee = bool(sighting.person_id)
    authorized = is_employee and sighting.is_authorized
    status = ("authorized" if authorized else "unauthorized") if is_employee else "unknown"
    x, y = foot_point(sighting)
    values = _version(sighting) | _evidence(sighting)
    values |= {name: getattr(sighting, name) for name in _AS_REPORTED}
    return values | {
        "global_id": rules.person_of(sighting),
        "track_id": sighting.track_number,
        "person_name": sighting.name or UNKNOWN_NAME,
        "employee_id": sighting.person_id or None,
        "is_authorized": authorized,
        "access_status": status,
        "entry_point": entry_point,
        "x": x,
        "y": y,
        "flagged": status == "unauthorized",
        "track_uuid": sighting.track_id,
        "frame_topic": sighting.frame.topic,
        "frame_partition": sighting.frame.partition,
        "frame_offset": sighting.frame.offset,
        "face_box": [getattr(sighting.face_box, side) for side in ("x1", "y1", "x2", "y2")],
    }


def _evidence(sighting: pb.Sighting) -> dict[str, Any]:
    """Return the evidence of a decision; None where the sighting states none."""
    runner_up, candidate = sighting.runner_up or None, sighting.candidate or None
    is_unidentified = sighting.status == pb.Sighting.UNIDENTIFIED
    return {
        "runner_up": runner_up,
        "runner_up_score": sighting.runner_up_score if runner_up else None,
        "candidate": candidate,
        "candidate_score": sighting.candidate_score if candidate else None,
        "wanted_rate": sighting.wanted_rate or None,
        "calibration": sighting.calibration or None,
        "reason": sighting.reason or None,
        "first_seen": to_datetime(sighting.first_seen_us) if sighting.first_seen_us else None,
        "face_attempts": sighting.attempts if is_unidentified else None,
        "refusals": Jsonb(dict(sighting.refusals)) if is_unidentified else None,
    }


def foot_point(sighting: pb.Sighting) -> tuple[float, float] | tuple[None, None]:
    """Return the foot point (x, y) as fractions of the frame's size, from its top left corner."""
    if not sighting.width or not sighting.height:
        return None, None
    box = sighting.track_box
    x = (box.x1 + box.x2) / 2 / sighting.width
    y = box.y2 / sighting.height
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def _fixture(sighting: pb.Sighting) -> CameraFixture:
    box, width, height = sighting.track_box, sighting.width or 1, sighting.height or 1
    return CameraFixture(
        camera_id=sighting.camera_id,
        since=to_datetime(sighting.fixture_since_us),
        x1=box.x1 / width,
        y1=box.y1 / height,
        x2=box.x2 / width,
        y2=box.y2 / height,
        events=sighting.events,
        is_picture=sighting.is_picture,
        last_seen=to_datetime(sighting.decided_at_us),
    )


def _version(sighting: pb.Sighting) -> dict[str, Any]:
    return {
        "id": sighting.sighting_id,
        "decided_at": to_datetime(sighting.decided_at_us),
        "decision": rules.rank(sighting),
    }


def _last_seen(sightings: Sequence[pb.Sighting], latest_us: int) -> list[tuple[Any, str]]:
    """Return the latest time and the id of each employee, none after `latest_us`."""
    latest: dict[str, int] = {}
    for sighting in sightings:
        person = sighting.person_id
        if person:
            at_us = min(sighting.decided_at_us, latest_us)
            latest[person] = max(latest.get(person, 0), at_us)
    # Two workers may update the same people: both do it in one order.
    return [(to_datetime(at_us), person) for person, at_us in sorted(latest.items())]


def run(settings: Settings) -> None:
    """Run the service until a stop is requested."""
    stop = start_service(AccessLog.name, settings)
    SinkLoop(with_promotions(AccessLog(settings), settings), settings).run(stop)
