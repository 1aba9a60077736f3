"""How good a shot of a face is: size, sharpness, pose, and whether it is worth an embedding."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import MIN_FRONTALITY, BGRImage, Face, Floats

_NORMAL_PX = 96
"""Faces are compared for sharpness at this size, or a large one would always look sharper."""

_SHARP_HALF = 0.02
"""Laplacian variance over grey variance, at which a face counts as half sharp."""

_GOOD_PX = 64.0
"""From here more pixels add nothing to what the embedder sees (it takes 112)."""

MIN_INSIDE = 0.9
"""A face cut by the edge of the picture looks like somebody else's."""

MIN_BRIGHTNESS = 0.06
"""A noisy face as dark as this looks like nobody: MobileFaceNet's cosine to itself in the light
is .58 at .09, .18 at .06, and below 0 at .04."""

MIN_SHARPNESS = 0.2
MIN_SCORE = 0.6


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """How good a shot of a face is; all but `size_px` from 0 to 1."""

    size_px: float
    """Shorter side of the face box in pixels of the image."""
    sharpness: float
    frontality: float
    """0 in profile, 1 facing the camera."""
    detector_score: float
    overall: float
    """What shots are weighed by."""
    inside: float = 1.0
    """How much of the face box is within the image."""
    brightness: float = 0.5
    """Mean grey of the face box, 0 black to 1 white."""

    def refusal(self, min_px: float, min_overall: float = 0.0) -> str | None:
        """Why the shot is not worth an embedding, or None.

        One of small, cut, dark, blurred, uncertain, turned.
        """
        if self.size_px < min_px:
            return "small"
        if self.inside < MIN_INSIDE:
            return "cut"
        if self.brightness < MIN_BRIGHTNESS:
            return "dark"
        if self.sharpness < MIN_SHARPNESS:
            return "blurred"
        if self.detector_score < MIN_SCORE:
            return "uncertain"
        if self.frontality < MIN_FRONTALITY:
            return "turned"  # all else is well with it
        if self.overall < min_overall:
            return "uncertain"
        return None


def assess(image: BGRImage, face: Face) -> FaceQuality:
    """Measure a face in the image that it was found in."""
    x1, y1, x2, y2 = (float(side) for side in face.box)
    size = max(0.0, min(x2 - x1, y2 - y1))
    grey = _grey(image, face.box)
    sharp = _sharpness(grey)
    front = frontality(face.landmarks)
    large = min(1.0, size / _GOOD_PX)
    overall = (large * sharp * front * max(0.0, face.score)) ** 0.25
    bright = float(grey.mean()) / 255 if grey.size else 0.0
    inside = _inside(image, face.box)
    return FaceQuality(size, sharp, front, face.score, overall, inside, bright)


def _inside(image: BGRImage, box: Floats) -> float:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in box)
    area = max(x2 - x1, 0.0) * max(y2 - y1, 0.0)
    seen = max(min(x2, width) - max(x1, 0.0), 0.0) * max(min(y2, height) - max(y1, 0.0), 0.0)
    return seen / area if area > 0 else 0.0


def _grey(image: BGRImage, box: Floats) -> NDArray[np.uint8]:
    """What the image shows of the box, in grey, 96 x 96; empty where that is next to nothing."""
    height, width = image.shape[:2]
    x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
    x2, y2 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x2 - x1 < 2 or y2 - y1 < 2:
        return np.zeros((0, 0), np.uint8)
    grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (_NORMAL_PX, _NORMAL_PX), interpolation=cv2.INTER_AREA)
    return grey.astype(np.uint8, copy=False)


def _sharpness(grey: NDArray[np.uint8]) -> float:
    if not grey.size:
        return 0.0
    contrast = float(grey.var())
    if contrast < 1.0:
        return 0.0
    # Over the grey values' own variance: a dark or a foggy picture is not a blurred one.
    detail = float(cv2.Laplacian(grey, cv2.CV_32F).var()) / contrast
    return detail / (detail + _SHARP_HALF)


def frontality(landmarks: Floats) -> float:
    """0 (profile) to 1 (facing the camera) from landmarks (5, 2), whatever the roll."""
    left, right, nose, mouth_left, mouth_right = landmarks.astype(np.float64)
    across = right - left
    down = (mouth_left + mouth_right) / 2 - (left + right) / 2
    eye_distance = float(np.hypot(*across))
    height = float(np.hypot(*down))
    if eye_distance < 1e-3 or height < 1e-3:
        return 0.0
    # Where the nose stands between the eyes, and between eyes and mouth: 0.5 of each.
    sideways = float(np.dot(nose - left, across)) / eye_distance**2
    downwards = float(np.dot(nose - (left + right) / 2, down)) / height**2
    yaw = 1.0 - min(1.0, abs(sideways - 0.5) / 0.75)
    pitch = 1.0 - min(1.0, max(0.0, abs(downwards - 0.55) - 0.25) * 2.5)
    # A face seen from the side is also narrow between the eyes.
    narrow = min(1.0, eye_distance / height / 0.7)
    return yaw * pitch * narrow


def flatness(image: BGRImage, box: Floats) -> float:
    """How many pixels in the box (4,) equal their neighbour, 0 to 1: hardly any in a photo."""
    x1, y1 = (max(0, int(side)) for side in box[:2])
    x2, y2 = (int(np.ceil(side)) for side in box[2:])
    part = image[y1:y2, x1:x2]
    if part.shape[0] < 2 or part.shape[1] < 2:
        return 1.0
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    return float((grey[:, 1:] == grey[:, :-1]).mean())
