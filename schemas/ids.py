"""Deterministic ids: repeated processing gives the same id, so every write can be an upsert."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1b1a52-6c3e-5c8a-9d55-0d5f3f6f7a10")

_GLOBAL_ID_BITS = 48
"""Fits a signed bigint and a JavaScript number; two of 100,000 people share an id with p < 2e-5."""


def motion_event_id(camera_id: str, started_at_us: int) -> str:
    """Return the UUID of a camera's motion event by the capture time (µs) of its start."""
    return str(uuid5(_NAMESPACE, f"motion|{camera_id}|{started_at_us}"))


def track_id(camera_id: str, first_frame_us: int, ordinal: int) -> str:
    """Return the UUID of a track: capture time (µs) of its first frame and its rank in it."""
    return str(uuid5(_NAMESPACE, f"track|{camera_id}|{first_frame_us}|{ordinal}"))


def observation_id(track: str, captured_at_us: int) -> str:
    """Return the UUID of an observation of a track by the frame's capture time (µs)."""
    return str(uuid5(_NAMESPACE, f"observation|{track}|{captured_at_us}"))


def sighting_id(track: str, epoch: int) -> str:
    """Return the UUID of a track's sighting in an epoch; a later decision replaces an earlier."""
    return str(uuid5(_NAMESPACE, f"sighting|{track}|{epoch}"))


def visitor_log_id(event: str, visitor: int | str) -> str:
    """Return the UUID of a visit in a motion event: of a global id, or an unidentified track."""
    return str(uuid5(_NAMESPACE, f"visit|{event}|{visitor}"))


def global_id(seed: str) -> int:
    """Return a person's positive 48-bit id, from an employee's id or the founding track."""
    return uuid5(_NAMESPACE, f"person|{seed}").int >> (128 - _GLOBAL_ID_BITS) or 1
