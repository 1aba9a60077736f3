"""Kafka records of a track: its observations, its decisions, and a frame."""

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from schemas import sightline_pb2 as pb
from schemas.naming import of_run, topic_kind
from schemas.topics import CROPS, FACES, SIGHTINGS
from sightline.runtime.clock import to_us
from sightline.runtime.errors import PoisonRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import Record
from sightline.streaming.topic_reader import fetch_watermarks, first_from, records_since

_FRAMES_KIND = "frames"
"""Kind of the topics of frames. Crops that clients send are in a topic of their own."""


@dataclass(slots=True)
class TrackRecords:
    """Records about a track with their positions; empty if Kafka has deleted them."""

    observations: list[tuple[pb.Position, pb.FaceObservation]] = field(default_factory=list)
    ended: pb.TrackEnded | None = None
    decisions: list[tuple[pb.Position, pb.Sighting]] = field(default_factory=list)


def track_records(settings: Settings, run: str, track: str, since: datetime | None) -> TrackRecords:
    """Return a run's records about a track, ordered by time. Raises InfrastructureError."""
    since_ms = to_us(since) // 1000 if since else 0
    collected = TrackRecords()
    with closing(records_since(settings, of_run(FACES, run).name, since_ms)) as records:
        for record in records:
            if _add_observation(collected, record, track):
                break  # no observation follows the end of a track
    # All sightings are read: a name may be decided long after.
    for record in records_since(settings, of_run(SIGHTINGS, run).name, since_ms):
        _add_decision(collected, record, track)
    collected.observations.sort(key=lambda pair: (pair[1].captured_at_us, pair[0].offset))
    collected.decisions.sort(key=lambda pair: pair[0].offset)
    return collected


def frame_at(settings: Settings, position: pb.Position, camera: str) -> pb.Frame | None:
    """Return a camera's frame or, from the topic `crops`, a client's crop as a frame.

    None if Kafka has deleted it. Raises InfrastructureError.
    """
    partition, offset = position.partition, position.offset
    is_crop = position.topic == CROPS.name
    if topic_kind(position.topic) != _FRAMES_KIND and not is_crop:
        return None
    watermarks = fetch_watermarks(settings, position.topic).get(partition, (0, 0))
    if not watermarks[0] <= offset < watermarks[1]:
        return None
    record = first_from(settings, position.topic, partition, offset)
    if record is None or record.offset != offset:
        return None
    try:
        frame = _as_frame(record.decode(pb.Crop)) if is_crop else record.decode(pb.Frame)
    except PoisonRecord:
        return None
    return frame if frame.camera_id == camera else None  # otherwise the topic was created anew


def _as_frame(crop: pb.Crop) -> pb.Frame:
    return pb.Frame(
        camera_id=crop.camera_id,
        site_id=crop.site_id,
        captured_at_us=crop.captured_at_us,
        jpeg=crop.jpeg,
    )


def _add_observation(collected: TrackRecords, record: Record, track: str) -> bool:
    """Add an observation of the track; return True if the track has ended."""
    try:
        event = record.decode(pb.FaceEvent)
    except PoisonRecord:
        return False
    if event.observation.track_id == track:
        collected.observations.append((record.position, event.observation))
    if event.track_ended.track_id != track:
        return False
    collected.ended = event.track_ended
    return True


def _add_decision(collected: TrackRecords, record: Record, track: str) -> None:
    try:
        sighting = record.decode(pb.Sighting)
    except PoisonRecord:
        return
    if sighting.track_id == track:
        collected.decisions.append((record.position, sighting))
