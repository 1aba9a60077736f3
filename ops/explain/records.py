"""What Kafka still holds of a track: its shots, what was decided of it, and a frame."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from schemas import sightline_pb2 as pb
from schemas.topics import FACES, SIGHTINGS, Topic, of_run
from sightline.runtime.clock import to_us
from sightline.runtime.errors import InvalidRecord
from sightline.runtime.settings import Settings
from sightline.streaming.records import Record
from sightline.streaming.topic_reader import at_time, records_from, retained

_FRAMES = "frames."
"""What the topics of frames begin with. What clients send to the API is in none."""


@dataclass(slots=True)
class Evidence:
    """The records about a track, with where they are; empty where Kafka has deleted them."""

    observations: list[tuple[pb.Position, pb.FaceObservation]] = field(default_factory=list)
    ended: pb.TrackEnded | None = None
    decisions: list[tuple[pb.Position, pb.Sighting]] = field(default_factory=list)


def evidence(settings: Settings, run: str, track: str, since: datetime | None) -> Evidence:
    """What a pass has said of a track, by time. Raises InfrastructureError."""
    since_ms = to_us(since) // 1000 if since else 0
    found = Evidence()
    with closing(_since(settings, of_run(FACES, run), since_ms)) as records:
        for record in records:
            if _take_face(found, record, track):
                break  # a track that has ended has no shot to come
    # To the end: a name may be found long after.
    for record in _since(settings, of_run(SIGHTINGS, run), since_ms):
        _take_decision(found, record, track)
    found.observations.sort(key=lambda one: (one[1].captured_at_us, one[0].offset))
    found.decisions.sort(key=lambda one: one[0].offset)
    return found


def frame_at(settings: Settings, position: pb.Position, camera: str) -> pb.Frame | None:
    """A camera's frame; None where Kafka has it no more. Raises InfrastructureError."""
    number, offset = position.partition, position.offset
    if not position.topic.startswith(_FRAMES):
        return None
    held = retained(settings, position.topic).get(number, (0, 0))
    if not held[0] <= offset < held[1]:
        return None
    with closing(records_from(settings, position.topic, {number: offset})) as records:
        record = next(records, None)
    if record is None or record.offset != offset:
        return None
    try:
        frame = record.decode(pb.Frame)
    except InvalidRecord:
        return None
    return frame if frame.camera_id == camera else None  # else the topic was made anew


def _since(settings: Settings, topic: Topic, since_ms: int) -> Generator[Record, None, None]:
    starts = at_time(settings, topic.name, since_ms)
    return records_from(settings, topic.name, starts)


def _take_face(found: Evidence, record: Record, track: str) -> bool:
    """Keep a shot of the track; whether it has ended."""
    try:
        event = record.decode(pb.FaceEvent)
    except InvalidRecord:
        return False
    if event.observation.track_id == track:
        found.observations.append((record.position, event.observation))
    if event.track_ended.track_id != track:
        return False
    found.ended = event.track_ended
    return True


def _take_decision(found: Evidence, record: Record, track: str) -> None:
    try:
        sighting = record.decode(pb.Sighting)
    except InvalidRecord:
        return
    if sighting.track_id == track:
        found.decisions.append((record.position, sighting))
