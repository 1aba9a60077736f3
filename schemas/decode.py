"""Validated decoding of messages: Protobuf reads many wrong bytes as a message of empty fields."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import DecodeError, Message

from schemas import sightline_pb2 as pb

M = TypeVar("M", bound=Message)

Check = Callable[[Any, str], None]
"""Gets a field's value and its name."""

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Pattern of the ids of cameras, sites and fleets."""

MAX_NAME_CHARACTERS = 200
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


def _uuid_or_none(value: str, field: str) -> None:
    if value:
        _uuid(value, field)


def _pack(value: str, _field: str) -> None:
    if not 0 < len(value) <= MAX_NAME_CHARACTERS:
        raise InvalidMessageError("bad_id", f"a pack of {len(value)} characters")


def _position(position: pb.Position, _field: str) -> None:
    if len(position.topic) > _MAX_TOPIC_CHARACTERS:
        raise InvalidMessageError("bad_id", f"a topic of {len(position.topic)} characters")


def _time(value: int, field: str) -> None:
    if not _MIN_US < value < _MAX_US:
        raise InvalidMessageError("bad_time", f"{field} {value}")


def _vector(value: bytes, field: str) -> None:
    if not value or len(value) % 4 or len(value) > 4 * 4096:
        raise InvalidMessageError("bad_vector", f"{field} of {len(value)} bytes")


def _templates(templates: Iterable[pb.Template], _field: str) -> None:
    for template in templates:
        _vector(template.vector, "template")


def _amount(value: float, field: str) -> None:
    if not 0 <= value < math.inf:  # false for NaN as well
        raise InvalidMessageError("bad_number", f"{field} {value}")


def _box(box: pb.Box, field: str) -> None:
    sides = (box.x1, box.y1, box.x2, box.y2)
    # False for NaN as well.
    is_in_range = all(abs(side) <= _MAX_PX for side in sides)
    if not is_in_range or box.x2 < box.x1 or box.y2 < box.y1:
        raise InvalidMessageError("bad_box", f"{field} {sides}")


def _fields(message: Any, **checks: Check) -> None:
    """Check fields of a message, each with its name for the error."""
    for field, check in checks.items():
        check(getattr(message, field), field)


def _source(message: Any, **checks: Check) -> None:
    """Check a message that names its camera and site, and further fields of it."""
    _fields(message, camera_id=_slug, site_id=_slug, **checks)


def _frame(frame: pb.Frame) -> None:
    _source(frame, captured_at_us=_time, motion_event_id=_uuid)
    if not frame.jpeg:
        raise InvalidMessageError("empty", "no jpeg in the frame")


def _motion_event(event: pb.MotionEvent) -> None:
    _source(event, event_id=_uuid, at_us=_time, started_at_us=_time)
    if event.kind not in (pb.MotionEvent.STARTED, pb.MotionEvent.ENDED):
        raise InvalidMessageError("bad_kind", f"motion event of kind {event.kind}")


def _frame_tracks(tracks: pb.FrameTracks) -> None:
    _source(tracks, captured_at_us=_time, motion_event_id=_uuid)
    for track in tracks.tracks:
        _fields(track, track_id=_uuid, box=_box)


def _face_event(event: pb.FaceEvent) -> None:
    kind = event.WhichOneof("event")
    if kind is None:
        raise InvalidMessageError("empty", "no event in the face event")
    inner = event.observation if kind == "observation" else event.track_ended
    _source(inner, track_id=_uuid, motion_event_id=_uuid)
    if isinstance(inner, pb.FaceObservation):
        _observation(inner)
        _vector(inner.embedding, "embedding")
    else:
        _time(inner.ended_at_us, "ended_at_us")


def _observation(observation: pb.FaceObservation) -> None:
    _fields(
        observation, observation_id=_uuid, captured_at_us=_time, track_box=_box, face_box=_box,
        pack=_pack, frame=_position,
    )  # fmt: skip
    _amount(observation.quality.overall, "quality")
    _amount(observation.quality.frontality, "frontality")


def _snapshot(snapshot: pb.Snapshot) -> None:
    _source(snapshot, track_id=_uuid, captured_at_us=_time)
    if not snapshot.jpeg:
        raise InvalidMessageError("empty", "no jpeg in the snapshot")


def _crop(crop: pb.Crop) -> None:
    _source(crop, crop_id=_uuid, captured_at_us=_time, decided_track_id=_uuid_or_none)
    if not crop.jpeg and not crop.track_ended:
        raise InvalidMessageError("empty", "no jpeg in the crop")


def _crop_outcome(outcome: pb.CropOutcome) -> None:
    _source(
        outcome, crop_id=_uuid, track_id=_uuid, captured_at_us=_time, crop=_position,
        face_px=_amount, observation_id=_uuid_or_none,
    )  # fmt: skip


def _crop_track_state(state: pb.CropTrackState) -> None:
    _source(state, motion_event_id=_uuid)
    _fields(state.track, track_id=_uuid, started_us=_time, seen_us=_time)


def _gallery_person(person: pb.GalleryPerson) -> None:
    _fields(person, person_id=_uuid, templates=_templates)
    if not 0 < len(person.name) <= MAX_NAME_CHARACTERS:
        raise InvalidMessageError("bad_name", f"a name of {len(person.name)} characters")


def _fact(fact: pb.Fact) -> None:
    kind = fact.WhichOneof("fact")
    if kind is None:
        raise InvalidMessageError("empty", "no fact in the record")
    if kind == "calibration":
        if not fact.calibration.pack or not fact.calibration.json:
            raise InvalidMessageError("empty", "a calibration of nothing")
    elif kind == "walking_time":
        _fields(fact.walking_time, camera_a=_slug, camera_b=_slug)
        if not 0 < fact.walking_time.seconds < math.inf:
            raise InvalidMessageError("bad_time", f"{fact.walking_time.seconds} s to walk")
    elif kind == "track":
        _fields(fact.track, track_id=_uuid, site_id=_slug, templates=_templates)
        if not fact.track.global_id:
            raise InvalidMessageError("bad_id", "a track of nobody")
    elif not fact.person.global_id:
        raise InvalidMessageError("bad_id", "a correction of nobody")


def _sighting(sighting: pb.Sighting) -> None:
    _source(
        sighting, sighting_id=_uuid, track_id=_uuid, motion_event_id=_uuid, decided_at_us=_time,
        person_id=_uuid_or_none, track_box=_box, face_box=_box,
    )  # fmt: skip
    if len(sighting.name) > MAX_NAME_CHARACTERS:
        raise InvalidMessageError("bad_name", f"a name of {len(sighting.name)} characters")
    if sighting.template:
        _vector(sighting.template, "template")
    if sighting.status not in _STATUSES:
        raise InvalidMessageError("bad_kind", f"a sighting of status {sighting.status}")
    for name in _SCORES:
        if not math.isfinite(getattr(sighting, name)):
            raise InvalidMessageError("bad_score", name)


def _track_state(track: pb.TrackState) -> None:
    _fields(track, track_id=_uuid, site_id=_slug)
    if not track.shots or not track.HasField("decided"):
        raise InvalidMessageError("empty", f"nothing of the track {track.track_id}")
    for observation in track.shots:
        _source(observation, motion_event_id=_uuid)
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
    _templates(person.templates, "templates")


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
