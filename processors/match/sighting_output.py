"""Output of sightings: their records, metrics and log lines."""

import logging

from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS
from sightline.runtime import metrics
from sightline.streaming.records import OutputRecord

log = logging.getLogger(__name__)

_LOGGED_STATUSES = (pb.Sighting.CONFIRMED, pb.Sighting.CHANGED)
"""Statuses of sightings that become rows."""


def record_of(sighting: pb.Sighting, topic: str = SIGHTINGS.name) -> OutputRecord:
    """Return the record of a sighting for the topic `sightings`, or for that of a run."""
    value = sighting.SerializeToString(deterministic=True)
    return OutputRecord(topic, sighting.site_id, value, sighting.decided_at_us // 1000)


def report(sighting: pb.Sighting) -> None:
    """Count a sighting and log it, by ids, never by name; a repeated one is neither."""
    if sighting.again:
        return
    status = pb.Sighting.Status.Name(sighting.status).lower()
    kind = "known" if sighting.person_id else "unknown"
    metrics.DECISIONS.labels(status, kind).inc()
    if sighting.status == pb.Sighting.CHANGED:
        metrics.DECISIONS_CHANGED.inc()
    camera, track, person = sighting.camera_id, sighting.track_id, sighting.global_id
    log.log(
        logging.INFO if sighting.status in _LOGGED_STATUSES else logging.DEBUG,
        "%s: track %s is %s person %d, %s", camera, track, kind, person, status,
        extra={
            "camera": camera, "track": track, "person": person, "event": sighting.motion_event_id
        },
    )  # fmt: skip
