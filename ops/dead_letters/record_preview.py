"""Records for people to read: which message a topic holds, and what is in it but not pictures and
vectors, which are of faces."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from schemas import sightline_pb2 as pb

_KINDS: dict[str, type[Message]] = {
    "frames": pb.Frame,
    "motion-events": pb.MotionEvent,
    "tracks": pb.FrameTracks,
    "faces": pb.FaceEvent,
    "snapshots": pb.Snapshot,
    "gallery": pb.GalleryPerson,
    "facts": pb.Fact,
    "sightings": pb.Sighting,
    "vision-state": pb.VisionState,
    "dead-letters": pb.DeadLetter,
}
"""By a topic's name up to its fleet or its run."""


def readable(topic: str, value: bytes) -> dict[str, Any] | None:
    """What a record says, its bytes as their number; None where it is not what its topic holds."""
    kind = _KINDS.get(topic.partition(".")[0])
    if kind is None:
        return None
    try:
        return _fields(kind.FromString(value))
    except DecodeError:
        return None


def _fields(message: Message) -> dict[str, Any]:
    return {field.name: _shown(field, value) for field, value in message.ListFields()}


def _shown(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated:
        return [_one(field, one) for one in value]
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return _fields(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value
