"""Films with a known ground truth: persons walk through drawn rooms.

They walk at different times and in different size, light and blur.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.demo.demo_persons import CutOut
from ops.demo.truth import Appearance, Box
from sightline.runtime.errors import SightlineError

WIDTH, HEIGHT = 854, 480
FPS = 10

_STEPS_PER_SECOND = 1.8
_BOB_PX = 5.0
_BELOW_PX = 14.0  # the cut-out ends so far below the picture's edge, so that it never floats
_NOISE = 2.5  # grey levels
_MIN_VISIBLE_RATIO = 0.5  # share of a face's area inside the picture that makes an appearance


@dataclass(frozen=True, slots=True)
class Walk:
    """A person's walk through a room."""

    name: str
    starts: float  # seconds of the film
    seconds: float
    to_right: bool
    face_px: tuple[float, float]  # width of the face at begin and end of the walk
    gain: float = 1.0  # light on the person
    gamma: float = 1.0
    blur: float = 0.0  # sigma, in pixels of the film
    tilt: float = 2.0  # degrees of sway to either side


@dataclass(frozen=True, slots=True)
class Scene:
    """Film of one camera."""

    camera: str
    room: NDArray[np.uint8]  # (HEIGHT, WIDTH, 3) BGR
    seconds: float
    walks: tuple[Walk, ...]


Matrix = NDArray[np.float64]

PixelBox = tuple[int, int, int, int]
"""x1, y1, x2, y2; the last ones are outside."""


def _pose(walk: Walk, cut: CutOut, seconds: float) -> Matrix:
    """Return the affine matrix, 2x3, from cut-out to film at a moment of the walk."""
    progress = seconds / walk.seconds
    first, last = walk.face_px
    face_width = cut.face[2] - cut.face[0]
    scale = (first + (last - first) * progress) / face_width
    phase = 2 * pi * _STEPS_PER_SECOND * seconds
    angle = radians(walk.tilt * sin(phase / 2))
    a, b = scale * cos(angle), scale * sin(angle)
    height, width = cut.alpha.shape
    half_width = width * max(walk.face_px) / face_width / 2
    position = progress if walk.to_right else 1 - progress
    x = -half_width + position * (WIDTH + 2 * half_width)
    y = HEIGHT + _BELOW_PX + _BOB_PX * sin(phase)
    # The middle of the lower edge goes to (x, y).
    return np.array(
        [[a, -b, x - a * width / 2 + b * height], [b, a, y - b * width / 2 - a * height]]
    )


def _moved(box: Box, pose: Matrix) -> Box:
    """Return a box moved by a pose: middle moved, size scaled, sides upright."""
    x1, y1, x2, y2 = box
    x, y = pose @ np.array([(x1 + x2) / 2, (y1 + y2) / 2, 1.0])
    scale = hypot(pose[0, 0], pose[1, 0])
    half_width, half_height = scale * (x2 - x1) / 2, scale * (y2 - y1) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _visible_ratio(box: Box) -> float:
    x1, y1, x2, y2 = box
    inside = max(0.0, min(x2, WIDTH) - max(x1, 0)) * max(0.0, min(y2, HEIGHT) - max(y1, 0))
    return inside / ((x2 - x1) * (y2 - y1))


def _active_walks(scene: Scene, at: float) -> list[Walk]:
    return [walk for walk in scene.walks if 0 <= at - walk.starts < walk.seconds]


def appearances(scene: Scene, cuts: dict[str, CutOut]) -> Iterator[Appearance]:
    """Yield every face of a scene, frame by frame; boxes in pixels of the film."""
    for frame in range(frame_count(scene)):
        at = frame / FPS
        for walk in _active_walks(scene, at):
            cut = cuts[walk.name]
            face = _moved(cut.face, _pose(walk, cut, at - walk.starts))
            if _visible_ratio(face) >= _MIN_VISIBLE_RATIO:
                yield Appearance(scene.camera, frame, walk.name, face)


def frame_count(scene: Scene) -> int:
    """Return the number of frames of a scene."""
    return round(scene.seconds * FPS)


def render(
    scene: Scene, cuts: dict[str, CutOut], frames: Iterable[int] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a scene, (HEIGHT, WIDTH, 3) BGR; equal in every call.

    `frames` are the numbers of the frames to draw instead of all.
    """
    random = np.random.default_rng(len(scene.walks))
    grains = [
        _in_three(random.normal(0, _NOISE, (HEIGHT, WIDTH)).astype(np.float32)) for _ in range(4)
    ]
    lit = {walk: _with_light(cuts[walk.name], walk) for walk in scene.walks}
    room = scene.room.astype(np.float32)
    empty = [_as_picture(room + grain) for grain in grains]
    for frame in range(frame_count(scene)) if frames is None else frames:
        at = frame / FPS
        number = frame % len(grains)
        picture = empty[number].copy()
        figures = [
            (walk, pose, box)
            for walk in _active_walks(scene, at)
            for pose in [_pose(walk, cuts[walk.name], at - walk.starts)]
            if (box := _covered(pose, lit[walk][1], walk.blur)) is not None
        ]
        if figures:  # all but their surroundings is as in every frame
            left, top, right, bottom = zip(*(box for _, _, box in figures), strict=True)
            x, y = min(left), min(top)
            rows, columns = slice(y, max(bottom)), slice(x, max(right))
            canvas = room[rows, columns].copy()
            for walk, pose, (x1, y1, x2, y2) in figures:
                figure_canvas = canvas[y1 - y : y2 - y, x1 - x : x2 - x]
                _paste(figure_canvas, *lit[walk], pose - [[0, 0, x1], [0, 0, y1]], walk.blur)
            picture[rows, columns] = _as_picture(canvas + grains[number][rows, columns])
        yield picture


def _in_three(plane: cv2.typing.MatLike) -> NDArray[np.float32]:
    """Return a plane, (h, w), as (h, w, 3): numpy is far faster with arrays of one shape."""
    return cv2.merge([plane, plane, plane]).astype(np.float32, copy=False)


def _as_picture(canvas: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _covered(pose: Matrix, alpha: NDArray[np.float32], blur: float) -> PixelBox | None:
    """Return the film's pixels that a cut-out may change in a pose, or None."""
    height, width = alpha.shape
    corners = pose @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    margin = 4 * blur + 2  # OpenCV's kernel reaches four sigma
    low, high = corners.min(axis=1) - margin, corners.max(axis=1) + margin
    x1, x2 = (int(x) for x in np.clip((low[0], high[0] + 1), 0, WIDTH))
    y1, y2 = (int(y) for y in np.clip((low[1], high[1] + 1), 0, HEIGHT))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _with_light(cut: CutOut, walk: Walk) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    light = 255 * walk.gain * (np.arange(256) / 255) ** walk.gamma
    table = np.clip(light, 0, 255).astype(np.uint8)
    picture = cv2.LUT(cut.picture, table).astype(np.float32)
    return picture * cut.alpha[..., None], cut.alpha


def _paste(
    canvas: NDArray[np.float32],
    picture: NDArray[np.float32],
    alpha: NDArray[np.float32],
    pose: Matrix,
    blur: float,
) -> None:
    height, width = canvas.shape[:2]
    layer = cv2.warpAffine(picture, pose, (width, height), flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(alpha, pose, (width, height), flags=cv2.INTER_LINEAR)
    if blur:
        layer, cover = cv2.GaussianBlur(layer, (0, 0), blur), cv2.GaussianBlur(cover, (0, 0), blur)
    canvas *= _in_three(1 - cover)
    canvas += layer


def write_film(path: Path, frames: Iterable[NDArray[np.uint8]]) -> int:
    """Write an MP4 film; return its number of frames. Raises SightlineError."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise SightlineError(f"{path} cannot be written: is there space, and does OpenCV have MP4?")
    count = 0
    try:
        for frame in frames:
            writer.write(frame)
            count += 1
    finally:
        writer.release()
    return count
