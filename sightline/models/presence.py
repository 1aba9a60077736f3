"""Presence of a track: how often, how well and where it was detected, whatever its face gave.

A confirmed track is a person who was there. Whether a name can be put to it is a second question.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from schemas import sightline_pb2 as pb
from sightline.models.interface import Float32Array
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings.groups import EvidenceSettings

NO_FACE: Final = "no_face"
"""Outcome of an attempt that detected no face; the others are codes of `FaceQuality.refusal`."""

Doubt = Literal["few", "short", "faint"]
"""Reason why a track is not confirmed: too few detections, too short a time, too low scores."""

_FULL_HEIGHT_PX: Final = 256.0
"""Height from which on more pixels make no better picture of a body."""

_EDGE_PX: Final = 2.0
_EDGE_FACTOR: Final = 0.7
"""Factor on the quality of a picture for each side at which its box ends with the frame."""

_PICTURE_GAIN: Final = 1.25
"""Least ratio of a picture's quality to the last one's that makes it worth a record."""


@dataclass(slots=True)
class Presence:
    """Detections of a track in numbers; boxes are (4,) x1, y1, x2, y2 in pixels of the frame."""

    detections: int = 0
    score_sum: float = 0.0
    attempts: int = 0
    """Attempts to observe its face."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Attempts without an observation, by `NO_FACE` or a code of `FaceQuality.refusal`."""
    face_px: float = 0.0
    """Shorter side of the largest face that was refused or observed; 0 for none."""
    moved: float = 0.0
    """Farthest distance of the box's centre from its first place, in heights of the box."""
    first_box: Float32Array | None = None
    picture_quality: float = 0.0
    """Quality of the best picture of the body, 0 to 1; 0 before there is one."""
    picture_frame: pb.Position | None = None
    picture_box: Float32Array | None = None
    frame_size: tuple[int, int] = (0, 0)
    """Width and height of the latest frame; 0 where the place in it is not known."""

    def add_detection(self, box: Float32Array, score: float, frame: pb.Frame) -> None:
        """Count a detection in a frame, with its box and its score, 0 to 1."""
        self.detections += 1
        self.score_sum += score
        self.frame_size = frame.width, frame.height
        if self.first_box is None:
            self.first_box = box
        shift = (box[:2] + box[2:] - self.first_box[:2] - self.first_box[2:]) / 2
        height = max(1.0, float(box[3] - box[1]))
        self.moved = max(self.moved, float(np.hypot(*shift)) / height)

    def add_attempt(self, refusal: str | None, face_px: float = 0.0) -> None:
        """Count an attempt to observe the face: its refusal, None for an observation."""
        self.attempts += 1
        self.face_px = max(self.face_px, face_px)
        if refusal is not None:
            self.refusals[refusal] = self.refusals.get(refusal, 0) + 1

    def take_picture(
        self, box: Float32Array, score: float, frame: pb.Frame, position: pb.Position
    ) -> bool:
        """Return whether the body's picture in a frame is clearly the best; note it then."""
        quality = picture_quality(box, score, frame.width, frame.height)
        if quality < self.picture_quality * _PICTURE_GAIN or quality <= 0.0:
            return False
        self.picture_quality, self.picture_box, self.picture_frame = quality, box, position
        return True


def picture_quality(box: Float32Array, score: float, width: int, height: int) -> float:
    """Return the quality, 0 to 1, of the picture of a body in a frame: whole, large, and sure."""
    x1, y1, x2, y2 = (float(side) for side in box)
    edges = (x1 < _EDGE_PX, y1 < _EDGE_PX, x2 > width - _EDGE_PX, y2 > height - _EDGE_PX)
    inside = max(0.0, min(x2, width) - max(x1, 0.0)) * max(0.0, min(y2, height) - max(y1, 0.0))
    if inside < 1.0:
        return 0.0
    size = min(1.0, (y2 - y1) / _FULL_HEIGHT_PX)
    return score * size * _EDGE_FACTOR ** sum(edges)


class ConfirmationRules:
    """The rules by which a track is a person; time is capture time."""

    def __init__(self, settings: EvidenceSettings) -> None:
        self._detections = settings.confirm_detections
        self._span_us = round(settings.confirm_seconds * US_PER_SECOND)
        self._score = settings.confirm_score

    def doubt(self, presence: Presence, span_us: int) -> Doubt | None:
        """Return why a track that was seen over `span_us` is not confirmed; None if it is."""
        if presence.detections < self._detections:
            return "few"
        if span_us < self._span_us:
            return "short"
        return "faint" if presence.score_sum < self._score * presence.detections else None
