"""The state of one camera within one motion event, and the life of its tracks."""

from dataclasses import dataclass, field

from processors.vision.tracking import CameraTracker, TrackMatch
from schemas import sightline_pb2 as pb
from schemas.ids import track_id
from sightline.models import outputs
from sightline.models.interface import Face, Float32Array
from sightline.models.outputs import Track, TrackProperties
from sightline.runtime import metrics
from sightline.streaming.records import OutputRecord


@dataclass(slots=True)
class EventProgress:
    """The part of a camera's state that no model is needed for.

    It tells in advance which frames of a batch people are detected in.
    """

    event_id: str
    last_us: int
    """Capture time of the latest frame."""
    detected_us: int | None = None
    """Capture time of the last frame that people were detected in."""
    outline: Float32Array | None = None
    """Of the last picture, (18, 32)."""


@dataclass(slots=True)
class CameraState:
    """The state of one camera within one motion event."""

    site_id: str
    progress: EventProgress
    tracker: CameraTracker
    tracks: dict[int, Track] = field(default_factory=dict)
    """Confirmed tracks by the tracker's number."""
    visible: list["VisibleTrack"] = field(default_factory=list)
    """Confirmed tracks of the last detection."""


@dataclass(frozen=True, slots=True, eq=False)
class VisibleTrack:
    """A confirmed track in the present frame."""

    track: Track
    box: Float32Array
    score: float
    face: Face | None
    """The track's face where faces are what is followed."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Everything that was detected in a frame, as the tracker takes it."""

    boxes: Float32Array
    """(n, 4)."""
    scores: Float32Array
    """(n,)."""
    faces: list[Face] | None = None
    """The faces (n) where faces are what is followed."""


def follow(state: CameraState, frame: pb.Frame, detections: Detections) -> list[VisibleTrack]:
    """Match detections with the tracks of a camera, and return the confirmed tracks."""
    if frame.still:
        state.tracker.come_to_rest()
    with metrics.STAGE_SECONDS.labels("track").time():
        matches = state.tracker.update(detections.boxes, detections.scores, frame.captured_at_us)
    _begin_new(state, matches, frame)
    visible = []
    for match in matches:
        track = state.tracks[match.number]
        track.seen_us = frame.captured_at_us
        index = match.detection
        face = detections.faces[index] if detections.faces is not None else None
        visible.append(
            VisibleTrack(track, detections.boxes[index], float(detections.scores[index]), face)
        )
    return visible


def _begin_new(state: CameraState, matches: list[TrackMatch], frame: pb.Frame) -> None:
    new = [match.number for match in matches if match.number not in state.tracks]
    for ordinal, number in enumerate(new):
        name = TrackProperties(
            track_id=track_id(frame.camera_id, frame.captured_at_us, ordinal),
            number=number + 1,
            camera_id=frame.camera_id,
            site_id=state.site_id,
            motion_event_id=frame.motion_event_id,
            started_us=frame.captured_at_us,
        )
        state.tracks[number] = Track(name, frame.captured_at_us)


def end_at_cut(state: CameraState, at_us: int) -> list[OutputRecord]:
    """End and forget all tracks: the picture is of another place, with other people in it."""
    ended = end_all(state, at_us)
    state.tracks.clear()
    state.visible = []
    state.tracker.begin_anew()
    return ended


def end_lost(state: CameraState, at_us: int) -> list[OutputRecord]:
    """End the tracks that the tracker has given up; return their records."""
    alive = state.tracker.alive()
    lost = [number for number in state.tracks if number not in alive]
    return [outputs.track_ended(state.tracks.pop(number), at_us) for number in lost]


def end_all(state: CameraState, at_us: int) -> list[OutputRecord]:
    """Return the records that all tracks end, and keep the tracks."""
    return [outputs.track_ended(track, at_us) for track in state.tracks.values()]
