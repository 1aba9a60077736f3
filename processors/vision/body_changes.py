"""Signs that the tracker may have handed a track to another body: gap, jump and overlap of boxes.

A scene cut ends all tracks, so that there is nothing to verify behind it (`scene_cut`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from processors.vision.camera_state import CameraState
from processors.vision.verification import TrackVerifier
from sightline.models.interface import Float32Array
from sightline.models.outputs import Track
from sightline.runtime.clock import US_PER_SECOND

_GAP_DETECTIONS = 2
"""Detections in a row without a track from which on it may come back as another body. Detectors
miss people for one detection too often for that to be a sign."""

_GAP_US = US_PER_SECOND
"""Time without a detection that is a gap with any number of detections."""

_MIN_STEP_IOU = 0.4
"""Least overlap of a track's box with the previous one, moved on as it was moving, as intersection
over union; a box that is further away may be of another body. Somebody who walks past moves by half
of a face in the 0.2 s between two detections of faces."""

_MIN_JUMP_SIDES = 0.25
"""Least way of a box's middle, in sides of the box: a box that grows or shrinks where it is,
because legs come out from behind a desk, is no jump."""

_OVERLAP = 0.5
_NO_OVERLAP = 0.25
"""Intersection of two boxes over the smaller one, from which on tracks overlap, and below which
they are apart again: two people side by side would else come and go with every frame."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviousDetection:
    """Boxes and times of a camera's tracks before a detection."""

    boxes: dict[int, Float32Array]
    """Boxes (4,) by track number, of the tracks in the picture."""
    seen_us: dict[int, int]
    """Capture times at which tracks were seen last, by track number."""

    @classmethod
    def of(cls, state: CameraState) -> Self:
        """Take the boxes and times from a camera's state."""
        return cls(
            {shown.track.properties.number: shown.box for shown in state.visible},
            {track.properties.number: track.seen_us for track in state.tracks.values()},
        )


def note_body_changes(
    state: CameraState, previous: PreviousDetection, verifier: TrackVerifier, at_us: int
) -> None:
    """Let the tracks be verified that may be of another body since the previous detection."""
    boxes = {shown.track.properties.number: shown.box for shown in state.visible}
    overlaps = _largest_overlaps(boxes)
    for track in state.tracks.values():
        number, verification = track.properties.number, track.verification
        if number not in boxes:
            verification.unseen += 1
            continue
        has_gap = _has_gap(track, previous, at_us)
        if _has_jumped(track, previous, boxes[number], at_us) or has_gap:
            verifier.suspect(track, at_us, previous.seen_us.get(number))
        verification.unseen = 0
        if overlaps[number] >= _OVERLAP:
            verification.overlaps = True
        elif verification.overlaps and overlaps[number] < _NO_OVERLAP:
            verification.overlaps = False
            verifier.suspect(track, at_us)


def _has_gap(track: Track, previous: PreviousDetection, at_us: int) -> bool:
    seen_us = previous.seen_us.get(track.properties.number, at_us)
    return track.verification.unseen >= _GAP_DETECTIONS or at_us - seen_us > _GAP_US


def _has_jumped(track: Track, previous: PreviousDetection, now: Float32Array, at_us: int) -> bool:
    """Return whether a box (4,) is not where its track was going; note its velocity."""
    number, verification = track.properties.number, track.verification
    before, velocity = previous.boxes.get(number), verification.velocity
    verification.velocity = None
    if before is None:
        return False
    seconds = max(at_us - previous.seen_us[number], 1) / US_PER_SECOND
    way = _middle(now) - _middle(before)
    verification.velocity = float(way[0]) / seconds, float(way[1]) / seconds
    if velocity is None:
        return False
    expected = np.array(velocity, np.float32) * np.float32(seconds)
    moved = before + np.tile(expected, 2)
    if _intersection(moved, now) >= _MIN_STEP_IOU * _union(moved, now):
        return False
    sides = before[2:] - before[:2]
    has_jumped = bool((np.abs(way - expected) > _MIN_JUMP_SIDES * sides).any())
    if has_jumped:
        verification.velocity = None  # the next step would be a jump back
    return has_jumped


def _largest_overlaps(boxes: dict[int, Float32Array]) -> dict[int, float]:
    """Return by track number the largest overlap of a box (4,) with another one.

    An overlap is the intersection over the smaller of two areas.
    """
    if len(boxes) < 2:
        return dict.fromkeys(boxes, 0.0)
    corners = np.stack(list(boxes.values()))
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    intersections = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    smaller = np.maximum(np.minimum(areas[:, None], areas[None, :]), 1e-6)
    ratios = intersections / smaller
    np.fill_diagonal(ratios, 0.0)
    return dict(zip(boxes, ratios.max(axis=1).tolist(), strict=True))


def _intersection(box: Float32Array, other: Float32Array) -> float:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    return float(np.prod(np.maximum(high - low, 0.0)))


def _union(box: Float32Array, other: Float32Array) -> float:
    return _area(box) + _area(other) - _intersection(box, other)


def _area(box: Float32Array) -> float:
    return float(np.prod(box[2:] - box[:2]))


def _middle(box: Float32Array) -> Float32Array:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)
