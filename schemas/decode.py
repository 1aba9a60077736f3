"""Validated decoding of messages: Protobuf reads many wrong bytes as a message of empty fields."""

import math
import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from schemas import sightline_pb2 as pb

M = TypeVar("M", bound=Message)

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Pattern of the ids of cameras, sites and fleets."""

MAX_NAME = 200
"""Longest name of a person or a model pack, in characters."""

_MAX_TOPIC_CHARACTERS = 249
"""Kafka's limit of a topic's name."""

_UUID_CHARACTERS = 36

_MAX_PX = 1e6
"""Larger than any frame; sums of such coordinates still fit into every column."""

_STATUSES = frozenset(pb.Sighting.Status.values()) - {pb.Sighting.STATUS_UNSPECIFIED}

_SCORES = (
    "score",
    "threshold",
    "confidence",
    "runner_up_score",
    "candidate_score",
    "face_quality",
    "wanted_rate",
)

_MIN_US, _MAX_US = 0, 32_503_680_000_000_000
"""Years 1970 to 3000, which PostgreSQL and Python both represent."""


class InvalidMessageError(ValueError):
    """Bytes that are not a valid message; `reason` is a short code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(kind: type[M], value: bytes | None) -> M:
    """Parse and validate a record's value. Raises InvalidMessageError."""
    if not value:
        raise InvalidMessageError("empty", f"no {kind.__name__}")
    try:
        message = kind.FromString(value)
    except DecodeError as error:
        raise InvalidMessageError("not_protobuf", f"no {kind.__name__}: {error}") from error
    check = _CHECKS.get(kind)
    if check is not None:
        check(message)
    return message


def _slug(value: str, field: str) -> None:
    if not SLUG.fullmatch(value):
        raise InvalidMessageError("bad_id", f"{field} {value[:80]!r}")


def _uuid(value: str, field: str) -> None:
    # Python's UUID also accepts braces, and any number of hyphens.
    is_valid = len(value) == _UUID_CHARACTERS
    try:
        UUID(value)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InvalidMessageError("bad_id", f"{field} {value[:80]!r}")


def _pack(value: str) -> None:
    if not 0 < len(value) <= MAX_NAME:
        raise InvalidMessageError("bad_id", f"a pack of {len(value)} characters")


def _position(position: pb.Position) -> None:
    if len(position.topic) > _MAX_TOPIC_CHARACTERS:
        raise InvalidMessageError("bad_id", f"a topic of {len(position.topic)} characters")


def _time(value: int, field: str) -> None:
    if not _MIN_US < value < _MAX_US:
        raise InvalidMessageError("bad_time", f"{field} {value}")


def _vector(value: bytes, field: str) -> None:
    if not value or len(value) % 4 or len(value) > 4 * 4096:
        raise InvalidMessageError("bad_vector", f"{field} of {len(value)} bytes")


def _amount(value: float, field: str) -> None:
    if not 0 <= value < math.inf:  # false for NaN as well
        raise InvalidMessageError("bad_number", f"{field} {value}")


def _box(box: pb.Box, field: str) -> None:
    sides = (box.x1, box.y1, box.x2, box.y2)
    # False for NaN as well.
    is_in_range = all(abs(side) <= _MAX_PX for side in sides)
    if not is_in_range or box.x2 < box.x1 or box.y2 < box.y1:
        raise InvalidMessageError("bad_box", f"{field} {sides}")


def _source(message: Any) -> None:
    _slug(message.camera_id, "camera_id")
    _slug(message.site_id, "site_id")


def _frame(frame: pb.Frame) -> None:
    _source(frame)
    _time(frame.captured_at_us, "captured_at_us")
    _uuid(frame.motion_event_id, "motion_event_id")
    if not frame.jpeg:
        raise InvalidMessageError("empty", "no jpeg in the frame")


def _motion_event(event: pb.MotionEvent) -> None:
    _source(event)
    _uuid(event.event_id, "event_id")
    _time(event.at_us, "at_us")
    _time(event.started_at_us, "started_at_us")
    if event.kind not in (pb.MotionEvent.STARTED, pb.MotionEvent.ENDED):
        raise InvalidMessageError("bad_kind", f"motion event of kind {event.kind}")


def _frame_tracks(tracks: pb.FrameTracks) -> None:
    _source(tracks)
    _time(tracks.captured_at_us, "captured_at_us")
    _uuid(tracks.motion_event_id, "motion_event_id")
    for track in tracks.tracks:
        _uuid(track.track_id, "track_id")
        _box(track.box, "box")


def _face_event(event: pb.FaceEvent) -> None:
    kind = event.WhichOneof("event")
    if kind is None:
        raise InvalidMessageError("empty", "no event in the face event")
    inner = event.observation if kind == "observation" else event.track_ended
    _source(inner)
    _uuid(inner.track_id, "track_id")
    _uuid(inner.motion_event_id, "motion_event_id")
    if isinstance(inner, pb.FaceObservation):
        _observation(inner)
        _vector(inner.embedding, "embedding")
    else:
        _time(inner.ended_at_us, "ended_at_us")


def _observation(observation: pb.FaceObservation) -> None:
    _uuid(observation.observation_id, "observation_id")
    _time(observation.captured_at_us, "captured_at_us")
    _box(observation.track_box, "track_box")
    _box(observation.face_box, "face_box")
    _pack(observation.pack)
    _position(observation.frame)
    _amount(observation.quality.overall, "quality")
    _amount(observation.quality.frontality, "frontality")


def _snapshot(snapshot: pb.Snapshot) -> None:
    _source(snapshot)
    _uuid(snapshot.track_id, "track_id")
    _time(snapshot.captured_at_us, "captured_at_us")
    if not snapshot.jpeg:
        raise InvalidMessageError("empty", "no jpeg in the snapshot")


def _crop(crop: pb.Crop) -> None:
    _source(crop)
    _uuid(crop.crop_id, "crop_id")
    _time(crop.captured_at_us, "captured_at_us")
    if crop.decided_track_id:
        _uuid(crop.decided_track_id, "decided_track_id")
    if not crop.jpeg and not crop.track_ended:
        raise InvalidMessageError("empty", "no jpeg in the crop")


def _crop_outcome(outcome: pb.CropOutcome) -> None:
    _source(outcome)
    _uuid(outcome.crop_id, "crop_id")
    _uuid(outcome.track_id, "track_id")
    _time(outcome.captured_at_us, "captured_at_us")
    _position(outcome.crop)
    _amount(outcome.face_px, "face_px")
    if outcome.observation_id:
        _uuid(outcome.observation_id, "observation_id")


def _crop_track_state(state: pb.CropTrackState) -> None:
    _source(state)
    _uuid(state.motion_event_id, "motion_event_id")
    _uuid(state.track.track_id, "track_id")
    _time(state.track.started_us, "started_us")
    _time(state.track.seen_us, "seen_us")


def _gallery_person(person: pb.GalleryPerson) -> None:
    _uuid(person.person_id, "person_id")
    if not 0 < len(person.name) <= MAX_NAME:
        raise InvalidMessageError("bad_name", f"a name of {len(person.name)} characters")
    for template in person.templates:
        _vector(template.vector, "template")


def _fact(fact: pb.Fact) -> None:
    kind = fact.WhichOneof("fact")
    if kind is None:
        raise InvalidMessageError("empty", "no fact in the record")
    if kind == "calibration":
        if not fact.calibration.pack or not fact.calibration.json:
            raise InvalidMessageError("empty", "a calibration of nothing")
    elif kind == "walking_time":
        _slug(fact.walking_time.camera_a, "camera_a")
        _slug(fact.walking_time.camera_b, "camera_b")
        if not 0 < fact.walking_time.seconds < math.inf:
            raise InvalidMessageError("bad_time", f"{fact.walking_time.seconds} s to walk")
    elif kind == "track":
        _uuid(fact.track.track_id, "track_id")
        _slug(fact.track.site_id, "site_id")
        for template in fact.track.templates:
            _vector(template.vector, "template")
        if not fact.track.global_id:
            raise InvalidMessageError("bad_id", "a track of nobody")
    elif not fact.person.global_id:
        raise InvalidMessageError("bad_id", "a correction of nobody")


def _sighting(sighting: pb.Sighting) -> None:
    _source(sighting)
    _uuid(sighting.sighting_id, "sighting_id")
    _uuid(sighting.track_id, "track_id")
    _uuid(sighting.motion_event_id, "motion_event_id")
    _time(sighting.decided_at_us, "decided_at_us")
    if sighting.person_id:
        _uuid(sighting.person_id, "person_id")
    if len(sighting.name) > MAX_NAME:
        raise InvalidMessageError("bad_name", f"a name of {len(sighting.name)} characters")
    if sighting.template:
        _vector(sighting.template, "template")
    _box(sighting.track_box, "track_box")
    _box(sighting.face_box, "face_box")
    if sighting.status not in _STATUSES:
        raise InvalidMessageError("bad_kind", f"a sighting of status {sighting.status}")
    for name in _SCORES:
        if not math.isfinite(getattr(sighting, name)):
            raise InvalidMessageError("bad_score", name)


def _track_state(track: pb.TrackState) -> None:
    _uuid(track.track_id, "track_id")
    _slug(track.site_id, "site_id")
    if not track.shots or not track.HasField("decided"):
        raise InvalidMessageError("empty", f"nothing of the track {track.track_id}")
    for observation in track.shots:
        _source(observation)
        _uuid(observation.motion_event_id, "motion_event_id")
        _observation(observation)
        if not track.ended_at_us or observation.embedding:
            _vector(observation.embedding, "embedding")
    if track.ended_at_us:
        _time(track.ended_at_us, "ended_at_us")
    if math.isnan(track.holds_by):
        raise InvalidMessageError("bad_number", f"{track.track_id} holds by {track.holds_by}")
    if track.face:
        _vector(track.face, "face")
    _sighting(track.decided)


def _unknown_person(person: pb.UnknownPerson) -> None:
    _slug(person.site_id, "site_id")
    if not person.global_id or not person.templates:
        raise InvalidMessageError("empty", "an unknown person without an id or templates")
    for template in person.templates:
        _vector(template.vector, "template")


_CHECKS: dict[type[Message], Callable[[Any], None]] = {
    pb.Frame: _frame,
    pb.MotionEvent: _motion_event,
    pb.FrameTracks: _frame_tracks,
    pb.FaceEvent: _face_event,
    pb.Snapshot: _snapshot,
    pb.Crop: _crop,
    pb.CropOutcome: _crop_outcome,
    pb.CropTrackState: _crop_track_state,
    pb.GalleryPerson: _gallery_person,
    pb.Fact: _fact,
    pb.Sighting: _sighting,
    pb.TrackState: _track_state,
    pb.UnknownPerson: _unknown_person,
}
