"""Films whose truth is known: people walk through drawn rooms, at different times and in
different size, light and blur."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.demo.portrait_sources import CutOut
from ops.demo.truth import Appearance, Box
from sightline.runtime.errors import SightlineError

WIDTH, HEIGHT = 854, 480
FPS = 10

_STEPS_PER_SECOND = 1.8
_BOB_PX = 5.0
_BELOW_PX = 14.0  # how far below the picture's edge a cut-out ends, so that it never floats
_NOISE = 2.5  # grey levels
_VISIBLE = 0.5  # of a face's area inside the picture, to count as an appearance


@dataclass(frozen=True, slots=True)
class Walk:
    """One way of one person through a room."""

    who: str
    starts: float  # seconds of the film
    seconds: float
    to_right: bool
    face_px: tuple[float, float]  # width of the face when they come and when they leave
    gain: float = 1.0  # light on the person
    gamma: float = 1.0
    blur: float = 0.0  # sigma, in pixels of the film
    tilt: float = 2.0  # degrees of sway to either side


@dataclass(frozen=True, slots=True)
class Scene:
    """What one camera sees."""

    camera: str
    room: NDArray[np.uint8]  # (HEIGHT, WIDTH, 3) BGR
    seconds: float
    walks: tuple[Walk, ...]


Matrix = NDArray[np.float64]


def _pose(walk: Walk, cut: CutOut, seconds: float) -> Matrix:
    """Where the cut-out stands at a moment of its walk: 2x3, cut-out to film."""
    done = seconds / walk.seconds
    first, last = walk.face_px
    face_width = cut.face[2] - cut.face[0]
    scale = (first + (last - first) * done) / face_width
    phase = 2 * pi * _STEPS_PER_SECOND * seconds
    angle = radians(walk.tilt * sin(phase / 2))
    a, b = scale * cos(angle), scale * sin(angle)
    height, width = cut.alpha.shape
    reach = width * max(walk.face_px) / face_width / 2
    way = done if walk.to_right else 1 - done
    x = -reach + way * (WIDTH + 2 * reach)
    y = HEIGHT + _BELOW_PX + _BOB_PX * sin(phase)
    # The middle of the lower edge goes to (x, y).
    return np.array(
        [[a, -b, x - a * width / 2 + b * height], [b, a, y - b * width / 2 - a * height]]
    )


def _moved(box: Box, pose: Matrix) -> Box:
    """A box at its new place: its middle moved, its size scaled, its sides upright."""
    x1, y1, x2, y2 = box
    x, y = pose @ np.array([(x1 + x2) / 2, (y1 + y2) / 2, 1.0])
    scale = hypot(pose[0, 0], pose[1, 0])
    half_width, half_height = scale * (x2 - x1) / 2, scale * (y2 - y1) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def _visible(box: Box) -> float:
    x1, y1, x2, y2 = box
    inside = max(0.0, min(x2, WIDTH) - max(x1, 0)) * max(0.0, min(y2, HEIGHT) - max(y1, 0))
    return inside / ((x2 - x1) * (y2 - y1))


def _active(scene: Scene, at: float) -> list[Walk]:
    return [walk for walk in scene.walks if 0 <= at - walk.starts < walk.seconds]


def appearances(scene: Scene, cuts: dict[str, CutOut]) -> Iterator[Appearance]:
    """Every face that a scene shows, frame by frame; boxes in pixels of the film."""
    for frame in range(frames_of(scene)):
        at = frame / FPS
        for walk in _active(scene, at):
            cut = cuts[walk.who]
            face = _moved(cut.face, _pose(walk, cut, at - walk.starts))
            if _visible(face) >= _VISIBLE:
                yield Appearance(scene.camera, frame, walk.who, face)


def frames_of(scene: Scene) -> int:
    """How many frames a scene has."""
    return round(scene.seconds * FPS)


def render(scene: Scene, cuts: dict[str, CutOut]) -> Iterator[NDArray[np.uint8]]:
    """The frames of a scene, (HEIGHT, WIDTH, 3) BGR; the same every time."""
    random = np.random.default_rng(len(scene.walks))
    grains = [random.normal(0, _NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(4)]
    lit = {walk: _lit(cuts[walk.who], walk) for walk in scene.walks}
    for frame in range(frames_of(scene)):
        at = frame / FPS
        canvas = scene.room.astype(np.float32)
        for walk in _active(scene, at):
            _paste(canvas, *lit[walk], _pose(walk, cuts[walk.who], at - walk.starts), walk.blur)
        yield np.clip(canvas + grains[frame % len(grains)], 0, 255).astype(np.uint8)


def _lit(cut: CutOut, walk: Walk) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
    layer = cv2.warpAffine(picture, pose, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(alpha, pose, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    if blur:
        layer, cover = cv2.GaussianBlur(layer, (0, 0), blur), cv2.GaussianBlur(cover, (0, 0), blur)
    canvas *= 1 - cover[..., None]
    canvas += layer


def write_film(path: Path, frames: Iterable[NDArray[np.uint8]]) -> int:
    """Write an MP4 film and return its frames. Raises SightlineError when that fails."""
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
