"""Bodies that change under a track: somebody takes a known person's place, and two people cross.

The films are drawn of the demo's persons; vision and matching run in memory, without a broker. For
each gap between the two people of a relay there are to be two tracks with the right people, and of
two people who cross five times no name may move.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi, radians, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.in_memory import demo_gallery
from benchmarks.material import SHARED
from ops.demo import film
from ops.demo.backgrounds import entrance
from ops.demo.demo_persons import DEMO_PERSONS, CutOut, cut_out
from processors.match.decision.identification import DecisionRules
from processors.match.index.gallery import GalleryIndex
from processors.match.reference.reference_data import ReferenceData
from processors.match.site_matcher import SiteMatcher
from processors.match.state.site_state import SiteState
from processors.vision.camera_state import CameraState
from processors.vision.pipeline import DecodedFrame, VisionPipeline
from processors.vision.settings import VisionSettings
from schemas import sightline_pb2 as pb
from schemas.ids import motion_event_id
from sightline.models.interface import ModelPack
from sightline.models.packs import load_pack
from sightline.runtime.clock import US_PER_SECOND
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EvidenceSettings

KNOWN, OTHER_KNOWN, STRANGER = "Ana Lima", "Ben Archer", "unknown in uniform"
GAPS = (0.0, 0.5, 1.0, 1.9, 2.6)
CROSSINGS = 5

_START_US = 1_700_000_000 * US_PER_SECOND
_CAMERA = "door"
_MARK_X = 430.0
_FACE_PX = 110.0
_LEFT_X, _RIGHT_X = 200.0, 650.0
_WALL_PX = 120.0
_PORTRAIT_FACE_PX = 90.0
_APART_PX = 120.0
"""Way between two people from which on their boxes tell who is who."""

Image = NDArray[np.uint8]

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """A person in a frame: the middle of the body, and the width of the face, in pixels."""

    name: str
    x: float
    face_px: float = _FACE_PX
    is_picture: bool = False
    """A picture on the wall: higher up, and without the sway of a body."""


Scene = Sequence[Sequence[Figure]]
"""Figures of each frame, the nearest last."""


def relay(
    gap: float, *, first: float = 5.0, second: float = 60.0, fps: int = 10, stranger: str = STRANGER
) -> Scene:
    """Return a scene in which a stranger takes a known person's place, after a gap in seconds."""

    def at(now: float) -> list[Figure]:
        if now < first:
            return [Figure(KNOWN, _MARK_X)]
        return [Figure(stranger, _MARK_X)] if now >= first + gap else []

    # Half a frame earlier, or the sum of two fractions would decide.
    return [at((frame + 0.5) / fps) for frame in range(round((first + gap + second) * fps))]


def crossing(
    times: int = CROSSINGS, *, stand: float = 2.0, walk: float = 2.5, fps: int = 10
) -> Scene:
    """Return a scene in which two known people change places, again and again."""
    scene = []
    for frame in range(round(((stand + walk) * times + stand) * fps)):
        number, since = divmod(frame / fps, stand + walk)
        done = max(0.0, since - stand) / walk
        way = (done if number % 2 == 0 else 1 - done) * (_RIGHT_X - _LEFT_X)
        scene.append([Figure(OTHER_KNOWN, _RIGHT_X - way, 100.0), Figure(KNOWN, _LEFT_X + way)])
    return scene


def portrait(*, seconds: float = 14.0, enters: float = 5.0, fps: int = 10) -> Scene:
    """Return a scene with a known person's portrait on the wall, who then walks through."""
    frames = []
    for frame in range(round(seconds * fps)):
        since = frame / fps - enters
        figures = [Figure(KNOWN, _RIGHT_X, _PORTRAIT_FACE_PX, is_picture=True)]
        if since >= 0:
            figures.append(Figure(KNOWN, -100.0 + since / (seconds - enters) * 600.0))
        frames.append(figures)
    return frames


def render(scene: Scene, fps: int) -> Iterator[Image]:
    """Yield the frames of a scene, (HEIGHT, WIDTH, 3) BGR."""
    cuts = {member.name: cut_out(member) for member in DEMO_PERSONS}
    room = entrance().astype(np.float32)
    random = np.random.default_rng(3)
    shape = (film.HEIGHT, film.WIDTH, 1)
    grains = [random.normal(0, 2.5, shape).astype(np.float32) for _ in range(4)]
    for frame, figures in enumerate(scene):
        canvas = room + grains[frame % len(grains)]
        for figure in figures:
            cut = cuts[figure.name]
            film.paste_figure(canvas, cut, _pose(figure, cut, frame / fps))
        yield np.clip(canvas, 0, 255).astype(np.uint8)


def _pose(figure: Figure, cut: CutOut, seconds: float) -> NDArray[np.float64]:
    """Return the affine matrix, 2x3, of a person who stands and sways a little."""
    scale = figure.face_px / (cut.face[2] - cut.face[0])
    phase = 0.0 if figure.is_picture else 2 * pi * 0.4 * seconds
    angle = radians(1.5 * sin(phase))
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    height, width = cut.alpha.shape
    x, y = figure.x + 3 * sin(1.3 * phase), film.HEIGHT + 14 + 2 * sin(phase)
    if figure.is_picture:
        y -= _WALL_PX
    return np.array(
        [[a, -b, x - a * width / 2 + b * height], [b, a, y - b * width / 2 - a * height]]
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A track and its person: a name, a global id in decimal, or nothing."""

    person: str
    started: float
    ended: float
    """Seconds of the film."""


@dataclass(frozen=True, slots=True)
class Result:
    """What vision and matching made of a film."""

    parts: tuple[Part, ...]
    frames: tuple[pb.FrameTracks, ...]
    persons: dict[str, str]
    """Persons by track id."""


def watch(pack: ModelPack, scene: Scene, fps: int = 10) -> Result:
    """Let vision and matching see a scene; two of its people are enrolled."""
    events, frames = _see(pack, scene, fps)
    persons = _decide(pack, events)
    ends = [event.track_ended for event in events if event.HasField("track_ended")]
    parts = [
        Part(persons.get(end.track_id, ""), _seconds(end.started_at_us), _seconds(end.ended_at_us))
        for end in ends
    ]
    by_start = tuple(sorted(parts, key=lambda part: part.started))
    return Result(by_start, tuple(frames), persons)


def _see(
    pack: ModelPack, scene: Scene, fps: int
) -> tuple[list[pb.FaceEvent], list[pb.FrameTracks]]:
    pipeline = VisionPipeline(pack, VisionSettings(), EvidenceSettings())
    states: dict[str, CameraState] = {}
    events, frames = [], []
    for number, image in enumerate(render(scene, fps)):
        at_us = _START_US + round(number / fps * US_PER_SECOND)
        frame = pb.Frame(
            camera_id=_CAMERA, site_id="home", sequence=number + 1, captured_at_us=at_us,
            width=film.WIDTH, height=film.HEIGHT,
            motion_event_id=motion_event_id(_CAMERA, _START_US),
            first_in_event=number == 0, last_in_event=number == len(scene) - 1,
        )  # fmt: skip
        position = pb.Position(topic="frames.default", partition=0, offset=number)
        [outs] = pipeline.run(states, [(_CAMERA, DecodedFrame(frame, position, image))])
        for out in outs:
            if out.topic == "faces":
                events.append(pb.FaceEvent.FromString(out.value or b""))
            elif out.topic == "tracks":
                frames.append(pb.FrameTracks.FromString(out.value or b""))
    return events, frames


def _decide(pack: ModelPack, events: Sequence[pb.FaceEvent]) -> dict[str, str]:
    """Return the person of each track at the end."""
    reference = ReferenceData()
    gallery = GalleryIndex(reference.enrolled)
    for person in demo_gallery(pack):
        if person.name in (KNOWN, OTHER_KNOWN):
            gallery.put(person)
    state = SiteState("home", reference)
    matcher = SiteMatcher(state, reference, gallery)
    persons: dict[str, str] = {}
    for event in events:
        step = matcher.decide(event, DecisionRules(), redelivered_from=0)
        state.apply(step.changes)
        for sighting in step.sightings:
            persons[sighting.track_id] = sighting.name or str(sighting.global_id or "")
    return persons


def moved_names(scene: Scene, result: Result) -> int:
    """Return the number of boxes with the name of somebody else, of people who stand apart."""
    moved = 0
    for figures, frame in zip(scene, result.frames, strict=True):
        places = {figure.name: figure.x for figure in figures}
        if abs(places[KNOWN] - places[OTHER_KNOWN]) < _APART_PX:
            continue
        for track in frame.tracks:
            middle = (track.box.x1 + track.box.x2) / 2
            true = min(places, key=lambda name: abs(places[name] - middle))
            moved += (result.persons.get(track.track_id) or true) != true
    return moved


def is_right(result: Result) -> bool:
    """Return whether a relay has the known person first, and then one stranger alone."""
    identified = [part.person for part in result.parts if part.person]
    return len(identified) == 2 and identified[0] == KNOWN and identified[1].isdigit()


def _seconds(at_us: int) -> float:
    return (at_us - _START_US) / US_PER_SECOND


def packs() -> dict[str, ModelPack]:
    """Return the packs that are there: dlib, and the shared models with a person detector."""
    loaded = {"dlib": load_pack(Settings(pack="dlib"))}
    if (SHARED / "models").is_dir():
        loaded["with persons"] = load_pack(Settings(models=SHARED / "models"))
    return loaded


def main(*, second: float = 60.0) -> dict[str, Any]:
    """Measure and print; the numbers by name."""
    table = Table("pack", "gap", "tracks: person, from, to (s)", "right", title="relay")
    numbers: dict[str, Any] = defaultdict(list)
    for name, pack in packs().items():
        for gap in GAPS:
            result = watch(pack, relay(gap, second=second))
            parts = ", ".join(
                f"{part.person or '-'} {part.started:.1f} to {part.ended:.1f}"
                for part in result.parts
            )
            table.add_row(name, f"{gap:g} s", parts, "yes" if is_right(result) else "NO")
            numbers["relay_right"].append(is_right(result))
        scene = crossing()
        result = watch(pack, scene)
        names = Counter(part.person or "-" for part in result.parts)
        console.print(
            f"{name}: {CROSSINGS} crossings, boxes with another's name: "
            f"{moved_names(scene, result)}; tracks: {dict(names)}"
        )
        numbers["crossing_moved_names"].append(moved_names(scene, result))
    console.print(table)
    return dict(numbers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.relay")
    parser.add_argument("--second", type=float, default=60.0, help="seconds of the stranger")
    print(json.dumps(main(**vars(parser.parse_args()))))
