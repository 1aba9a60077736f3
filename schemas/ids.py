"""Deterministic ids: doing a thing again gives the same id, so every write can be an upsert."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1b1a52-6c3e-5c8a-9d55-0d5f3f6f7a10")

_GLOBAL_ID_BITS = 48
"""Fits a signed bigint and a JavaScript number; two of 100,000 people share an id with p < 2e-5."""


def motion_event_id(camera_id: str, started_at_us: int) -> str:
    """UUID of the motion event of a camera that began at a capture time (µs)."""
    return str(uuid5(_NAMESPACE, f"motion|{camera_id}|{started_at_us}"))


def track_id(camera_id: str, first_frame_us: int, ordinal: int) -> str:
    """UUID of a camera's track: capture time (µs) of its first frame and its rank among those."""
    return str(uuid5(_NAMESPACE, f"track|{camera_id}|{first_frame_us}|{ordinal}"))


def observation_id(track: str, captured_at_us: int) -> str:
    """UUID of the shot of a track's face in the frame captured at a time (µs)."""
    return str(uuid5(_NAMESPACE, f"observation|{track}|{captured_at_us}"))


def sighting_id(track: str, epoch: int) -> str:
    """UUID of the identity of a track in one of its epochs; later decisions replace earlier."""
    return str(uuid5(_NAMESPACE, f"sighting|{track}|{epoch}"))


def visitor_log_id(event: str, global_id: int) -> str:
    """UUID of the visit of one person during one motion event."""
    return str(uuid5(_NAMESPACE, f"visit|{event}|{global_id}"))


def global_id(seed: str) -> int:
    """Positive 48-bit id of a person: of an employee's id or of the track that founded them."""
    return uuid5(_NAMESPACE, f"person|{seed}").int >> (128 - _GLOBAL_ID_BITS) or 1
