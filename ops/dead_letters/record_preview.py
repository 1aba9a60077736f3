"""Previews of records: the fields of a message, without its pictures and embeddings."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from schemas import sightline_pb2 as pb
from schemas.naming import topic_kind

_MESSAGES: dict[str, type[Message]] = {
    "frames": pb.Frame,
    "motion-events": pb.MotionEvent,
    "tracks": pb.FrameTracks,
    "faces": pb.FaceEvent,
    "snapshots": pb.Snapshot,
    "crops": pb.Crop,
    "crop-outcomes": pb.CropOutcome,
    "crop-state": pb.CropTrackState,
    "gallery": pb.GalleryPerson,
    "facts": pb.Fact,
    "sightings": pb.Sighting,
    "vision-state": pb.VisionState,
    "dead-letters": pb.DeadLetter,
}
"""Messages by the kind of a topic."""


def preview_record(topic: str, value: bytes) -> dict[str, Any] | None:
    """Return a record's fields, bytes as their number; None for an undecodable value."""
    kind = _MESSAGES.get(topic_kind(topic))
    if kind is None:
        return None
    try:
        return _fields(kind.FromString(value))
    except DecodeError:
        return None


def _fields(message: Message) -> dict[str, Any]:
    return {field.name: _preview(field, value) for field, value in message.ListFields()}


def _preview(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_preview_value(field, element) for element in value]
    return _preview_value(field, value)


def _preview_value(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return _fields(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if field.enum_type is not None:
        member = field.enum_type.values_by_number.get(value)
        return member.name if member else value
    return value
