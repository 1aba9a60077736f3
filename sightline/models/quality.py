"""Quality of a face in an image: size, sharpness, pose, light, and the limits of a good face."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.models.interface import MIN_FRONTALITY, BGRImage, Face, Float32Array

_SHARPNESS_SIDE_PX = 96
"""Side that faces are scaled to for their sharpness, or a large face would always be sharper."""

_HALF_SHARP_DETAIL = 0.02
"""Laplacian variance over grey variance of a face that is half sharp."""

_FULL_DETAIL_PX = 64.0
"""Size from which more pixels add nothing for the embedder, whose input is 112."""

MIN_INSIDE = 0.9
"""A face cut by the edge of the picture resembles other people's."""

MIN_BRIGHTNESS = 0.06
"""MobileFaceNet's cosine of a noisy dark face to itself in the light is .58 at .09, .18 at .06, and
below 0 at .04."""

MIN_SHARPNESS = 0.2
MIN_SCORE = 0.6


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """Quality of a face in an image; all but `size_px` from 0 to 1."""

    size_px: float
    """Shorter side of the face box in pixels of the image."""
    sharpness: float
    frontality: float
    """0 in profile, 1 facing the camera."""
    detector_score: float
    overall: float
    """Weight of an observation among those of a track."""
    inside: float = 1.0
    """Part of the face box that is within the image."""
    brightness: float = 0.5
    """Mean grey of the face box, 0 black to 1 white."""

    def refusal(self, min_px: float, min_overall: float = 0.0) -> str | None:
        """Return why the face is not worth an embedding as an observation of a track, or None."""
        return self.violation(QualityLimits(min_px, min_overall=min_overall))

    def violation(self, limits: "QualityLimits") -> str | None:
        """Return the first limit that the face is beyond, None for a good face.

        One of `small`, `cut`, `dark`, `overexposed`, `blurred`, `uncertain`, `turned`. A face is
        `turned` only where nothing before is wrong with it.
        """
        checks = (
            ("small", self.size_px < limits.min_px),
            ("cut", self.inside < limits.min_inside),
            ("dark", self.brightness < limits.min_brightness),
            ("overexposed", self.brightness > limits.max_brightness),
            ("blurred", self.sharpness < limits.min_sharpness),
            ("uncertain", self.detector_score < limits.min_score),
            ("turned", self.frontality < limits.min_frontality),
            ("uncertain", self.overall < limits.min_overall),
        )
        return next((name for name, is_violated in checks if is_violated), None)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Limits of a good face; the defaults are those of a track's observations."""

    min_px: float
    min_inside: float = MIN_INSIDE
    min_brightness: float = MIN_BRIGHTNESS
    max_brightness: float = 1.0
    min_sharpness: float = MIN_SHARPNESS
    min_score: float = MIN_SCORE
    min_frontality: float = MIN_FRONTALITY
    min_overall: float = 0.0


def assess(image: BGRImage, face: Face) -> FaceQuality:
    """Measure a face in the image that it was detected in."""
    x1, y1, x2, y2 = (float(side) for side in face.box)
    size = max(0.0, min(x2 - x1, y2 - y1))
    grey = _grey(image, face.box)
    sharp = _sharpness(grey)
    front = frontality(face.landmarks)
    large = min(1.0, size / _FULL_DETAIL_PX)
    overall = (large * sharp * front * max(0.0, face.score)) ** 0.25
    bright = float(grey.mean()) / 255 if grey.size else 0.0
    inside = _inside(image, face.box)
    return FaceQuality(size, sharp, front, face.score, overall, inside, bright)


def _inside(image: BGRImage, box: Float32Array) -> float:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in box)
    area = max(x2 - x1, 0.0) * max(y2 - y1, 0.0)
    seen = max(min(x2, width) - max(x1, 0.0), 0.0) * max(min(y2, height) - max(y1, 0.0), 0.0)
    return seen / area if area > 0 else 0.0


def _grey(image: BGRImage, box: Float32Array) -> NDArray[np.uint8]:
    """Return the visible part of a box (4,) in grey, (96, 96); (0, 0) for next to nothing."""
    height, width = image.shape[:2]
    x1, y1 = max(0, int(box[0])), max(0, int(box[1]))
    x2, y2 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x2 - x1 < 2 or y2 - y1 < 2:
        return np.zeros((0, 0), np.uint8)
    grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
    grey = cv2.resize(grey, (_SHARPNESS_SIDE_PX, _SHARPNESS_SIDE_PX), interpolation=cv2.INTER_AREA)
    return grey.astype(np.uint8, copy=False)


def _sharpness(grey: NDArray[np.uint8]) -> float:
    if not grey.size:
        return 0.0
    contrast = float(grey.var())
    if contrast < 1.0:
        return 0.0
    # Detail is relative to the contrast: a dark or a foggy picture is not a blurred one.
    detail = float(cv2.Laplacian(grey, cv2.CV_32F).var()) / contrast
    return detail / (detail + _HALF_SHARP_DETAIL)


def frontality(landmarks: Float32Array) -> float:
    """Return 0 (profile) to 1 (facing the camera) from landmarks (5, 2); roll does not matter."""
    left, right, nose, mouth_left, mouth_right = landmarks.astype(np.float64)
    across = right - left
    down = (mouth_left + mouth_right) / 2 - (left + right) / 2
    eye_distance = float(np.hypot(*across))
    height = float(np.hypot(*down))
    if eye_distance < 1e-3 or height < 1e-3:
        return 0.0
    # The nose of a frontal face is halfway between the eyes, and between eyes and mouth.
    sideways = float(np.dot(nose - left, across)) / eye_distance**2
    downwards = float(np.dot(nose - (left + right) / 2, down)) / height**2
    yaw = 1.0 - min(1.0, abs(sideways - 0.5) / 0.75)
    pitch = 1.0 - min(1.0, max(0.0, abs(downwards - 0.55) - 0.25) * 2.5)
    # A face seen from the side is also narrow between the eyes.
    narrow = min(1.0, eye_distance / height / 0.7)
    return yaw * pitch * narrow


def flatness(image: BGRImage, box: Float32Array) -> float:
    """Return the part of the pixels in a box (4,) that equal their neighbour: near 0 in a photo."""
    x1, y1 = (max(0, int(side)) for side in box[:2])
    x2, y2 = (int(np.ceil(side)) for side in box[2:])
    part = image[y1:y2, x1:x2]
    if part.shape[0] < 2 or part.shape[1] < 2:
        return 1.0
    grey = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
    return float((grey[:, 1:] == grey[:, :-1]).mean())
