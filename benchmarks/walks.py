"""Films of people who walk past cameras, made of their portraits, and the truth about them.

The portraits are those of the ORL face database: 40 people, 10 grey portraits each (credit:
Olivetti Research Laboratory, Samaria and Harter 1994). No portrait is used twice: some are
enrolled, the others are spread over the cameras.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ops.demo.film import FPS, HEIGHT, WIDTH
from ops.demo.truth import Appearance

Image = NDArray[np.uint8]

_SPEED = 150.0  # pixels per second
_FACE = (0.12, 0.22, 0.88, 0.95)
"""Box of the face in a portrait, relative to its width and height."""
_PORTRAIT = (92, 112)
_SCALES = (1.4, 1.65)  # a portrait's size in the film: a face is then about 80 pixels wide
_TURN_SECONDS = 0.5  # a person shows each portrait for this time
_FEATHER_PX = 4.0
_NOISE = 2.5  # grey levels
_BLUR_PX = 8.0  # more than a scene's blur reaches
_CANVAS = 320
_CANVAS_GREY = 128


@dataclass(frozen=True, slots=True)
class Walk:
    """A person's walk past a camera."""

    who: str
    portraits: tuple[Path, ...]  # shown in turn
    starts: float  # seconds of the film
    scale: float
    phase: float  # of their steps, radians


@dataclass(frozen=True, slots=True)
class Scene:
    """Walks in front of one camera; no person occludes another."""

    camera: str
    walks: tuple[Walk, ...]
    to_right: bool
    gain: float  # of the light on people
    blur: float  # sigma in pixels
    seed: int

    @property
    def frames(self) -> int:
        """Number of frames of the film."""
        return round((max(walk.starts for walk in self.walks) + _walk_seconds() + 0.5) * FPS)


@dataclass(frozen=True, slots=True)
class Site:
    """People of a site, portraits of the enrolled ones, and the cameras' scenes."""

    people: tuple[str, ...]
    enrolled: dict[str, tuple[Path, ...]]
    scenes: tuple[Scene, ...]


def plan(folder: Path, *, people: int, enrolled: int, cameras: int, seed: int) -> Site:
    """Plan a site of the database's first people; `enrolled` of them by 3 portraits each."""
    random = np.random.default_rng(seed)
    names = [f"person {number:02d}" for number in range(1, people + 1)]
    enrolled_names = {names[at] for at in random.permutation(people)[:enrolled].tolist()}
    photos: dict[str, tuple[Path, ...]] = {}
    shown: dict[str, list[tuple[Path, ...]]] = {}
    for number, name in enumerate(names, start=1):
        order = [folder / f"s{number}_{at + 1}.pgm" for at in random.permutation(10).tolist()]
        if name in enrolled_names:
            photos[name], order = tuple(order[:3]), order[3:]
        shown[name] = [tuple(order[at::cameras]) for at in random.permutation(cameras).tolist()]
    scenes = tuple(
        _scene(at, [(name, shown[name][at]) for name in names], random) for at in range(cameras)
    )
    return Site(tuple(names), photos, scenes)


def _scene(
    at: int, cast: Sequence[tuple[str, tuple[Path, ...]]], random: np.random.Generator
) -> Scene:
    walks = []
    starts = 0.3
    for index in random.permutation(len(cast)).tolist():
        who, portraits = cast[index]
        scale, phase = random.uniform(*_SCALES), random.uniform(0, 2 * pi)
        walks.append(Walk(who, portraits, starts, scale, phase))
        starts += random.choice([1.4, 1.6, 2.0, 4.0], p=[0.4, 0.3, 0.2, 0.1])
    return Scene(
        camera=f"cam-{at + 1}",
        walks=tuple(walks),
        to_right=at % 2 == 0,
        gain=(1.0, 0.8, 1.1, 0.9)[at % 4],
        blur=(0.0, 0.6, 0.3, 0.8)[at % 4],
        seed=at,
    )


def _walk_seconds() -> float:
    return (WIDTH + _PORTRAIT[0] * _SCALES[1]) / _SPEED


def _pose(walk: Walk, scene: Scene, seconds: float) -> NDArray[np.float64]:
    """Return the affine transform (2x3) from a portrait to the film at a moment of its walk."""
    width, height = _PORTRAIT
    fraction = seconds / _walk_seconds()
    scale = walk.scale * (0.94 + 0.12 * fraction)  # people come a little nearer
    step = 2 * pi * 1.8 * seconds + walk.phase
    angle = radians(2.5 * sin(step / 2))
    a, b = scale * cos(angle), scale * sin(angle)
    reach = width * _SCALES[1] / 2
    progress = fraction if scene.to_right else 1 - fraction
    x, y = -reach + progress * (WIDTH + 2 * reach), HEIGHT * 0.45 + 5 * sin(step)
    middle = np.array([[a, -b], [b, a]]) @ np.array([width / 2, height / 2])
    return np.array([[a, -b, x - middle[0]], [b, a, y - middle[1]]])


def _present(scene: Scene, at: float) -> Iterator[tuple[Walk, float]]:
    for walk in scene.walks:
        if 0 <= at - walk.starts < _walk_seconds():
            yield walk, at - walk.starts


def appearances(scene: Scene, *, partly: bool = False) -> Iterator[Appearance]:
    """Yield every face that is wholly in the picture, frame by frame; boxes in film pixels.

    With `partly` also the faces that the edge of the picture cuts.
    """
    width, height = _PORTRAIT
    left, top, right, bottom = _FACE
    corners = np.array([[left * width, top * height], [right * width, bottom * height]])
    for frame in range(scene.frames):
        for walk, seconds in _present(scene, frame / FPS):
            pose = _pose(walk, scene, seconds)
            (x1, y1), (x2, y2) = corners @ pose[:, :2].T + pose[:, 2]
            if (x2 > 0 and x1 < WIDTH) if partly else (x1 >= 0 and x2 <= WIDTH):
                yield Appearance(scene.camera, frame, walk.who, (x1, y1, x2, y2))


def render(scene: Scene) -> Iterator[Image]:
    """Yield the frames of a scene, (HEIGHT, WIDTH, 3) BGR; they are deterministic."""
    random = np.random.default_rng(scene.seed)
    wall = np.linspace(150, 105, HEIGHT, dtype=np.float32)[:, None]
    grains = [random.normal(0, _NOISE, (HEIGHT, WIDTH)).astype(np.float32) for _ in range(4)]
    pictures = {
        path: read_portrait(path).astype(np.float32) * scene.gain
        for walk in scene.walks
        for path in walk.portraits
    }
    edge = _soft_edge()
    for frame in range(scene.frames):
        canvas = np.broadcast_to(wall, (HEIGHT, WIDTH)).copy()
        for walk, seconds in _present(scene, frame / FPS):
            turn = int(seconds / _TURN_SECONDS) % len(walk.portraits)
            pose = _pose(walk, scene, seconds)
            left, top, right, bottom = _covered(pose)
            if left >= right:
                continue
            part = canvas[top:bottom, left:right]  # the rest of the picture stays as it is
            pose, size = pose - [[0, 0, left], [0, 0, top]], (right - left, bottom - top)
            layer = cv2.warpAffine(
                pictures[walk.portraits[turn]], pose, size, flags=cv2.INTER_CUBIC
            )
            cover = cv2.warpAffine(edge, pose, size)
            if scene.blur:
                layer = cv2.GaussianBlur(layer, (0, 0), scene.blur)
            part += cover * (layer - part)
        grey = np.clip(canvas + grains[frame % len(grains)], 0, 255).astype(np.uint8)
        yield np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def _covered(pose: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Return the film's pixels that a portrait and its blur may change: x1, y1, x2, y2."""
    width, height = _PORTRAIT
    corners = pose @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    low, high = corners.min(axis=1) - _BLUR_PX, corners.max(axis=1) + _BLUR_PX
    x1, x2 = np.clip((low[0], high[0]), 0, WIDTH).astype(int).tolist()
    y1, y2 = np.clip((low[1], high[1]), 0, HEIGHT).astype(int).tolist()
    return x1, y1, x2, y2


def _soft_edge() -> NDArray[np.float32]:
    width, height = _PORTRAIT
    mask = np.zeros((height, width), np.float32)
    inset = round(_FEATHER_PX)
    mask[inset:-inset, inset:-inset] = 1.0
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), _FEATHER_PX / 2), np.float32)


def read_portrait(path: Path) -> Image:
    """Read a portrait, 112 x 92 grey. Raises FileNotFoundError."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise FileNotFoundError(path)
    return np.asarray(picture, np.uint8)


def photo(portrait: Path) -> Image:
    """Make a photo to enrol: the portrait enlarged on a plain canvas, 320 x 320 BGR."""
    return framed(portrait, 1.6, _CANVAS, _CANVAS_GREY)


def framed(portrait: Path, enlarged: float, side: int, grey: int = 0) -> Image:
    """Place an enlarged portrait in the middle of a plain square: side x side x 3, BGR."""
    picture = cv2.resize(
        read_portrait(portrait), None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC
    )
    height, width = picture.shape
    canvas = np.full((side, side, 3), grey, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture[..., None]
    return canvas
