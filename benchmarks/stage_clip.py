"""A real film against a truth made by hand: `stage_clip.mp4`, four portraits, the real pipeline.

The truth (`tests/stage_clip_truth.txt`) has every face of at least 20 pixels on every frame, linked
over frames, and who each of these tracks is. A face of it agrees when the track of ours in whose
box it is had, by its last decision, the name that the truth has; a face that no track of ours has
counts as unnamed. One person is set apart: Barack Obama is half turned away and may be named only
where the wanted rate allows it, so without a name he agrees too; whether he is the first candidate
of his track is told beside it.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import baseline
from benchmarks.material import SHARED
from benchmarks.rig import add_cameras, own_stack
from ops.demo import installation
from ops.demo.truth import Box
from schemas import sightline_pb2 as pb
from schemas.topics import FACES, SIGHTINGS, TRACKS
from sightline.runtime.errors import SightlineError
from sightline.runtime.log import configure_logging
from sightline.runtime.settings import Settings
from sightline.storage.cameras import CameraSettings, NewCamera
from sightline.storage.db import connect
from sightline.streaming.read import read_all

FILM = SHARED / "media" / "stage_clip.mp4"
TRUTH = Path(__file__).parents[1] / "tests" / "stage_clip_truth.txt"
TURNED_AWAY = "Barack Obama"

_PHOTOS = {
    "Lin-Manuel Miranda": "lin-manuel-miranda.png",
    "Alex Lacamoire": "alex-lacamoire.png",
    "Joe Biden": "biden.jpg",
    "Barack Obama": "obama.jpg",
}
_CAMERA = "stage"
_SECONDS = 120.0

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class TrueTrack:
    """One person in one shot of the film."""

    name: str  # empty for nobody who is enrolled
    what: str
    faces: dict[int, Box]  # by frame, from 0


@dataclass(frozen=True, slots=True)
class Said:
    """What the pipeline said of the film."""

    boxes: dict[int, dict[str, Box]]
    """By frame: the box of every track, by its id."""
    sightings: dict[str, pb.Sighting]
    """The last one of each track."""
    embeddings: int
    people: dict[str, str]
    """Names of the enrolled people by their ids."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one track of the truth: its faces, and what was said of them."""

    track: TrueTrack
    agreed: int
    strictly: int
    """As many without the exception for who is turned away."""
    names: Counter[str]
    ours: Counter[str]
    """Tracks of ours that have its faces."""


def missing() -> str | None:
    """What keeps this from running, or None."""
    wanted = [FILM, SHARED / "models", *(path for _, path in photos())]
    absent = [path for path in wanted if not path.exists()]
    return f"no {absent[0].relative_to(SHARED.parent)} next to the project" if absent else None


def photos() -> tuple[tuple[str, Path], ...]:
    """The four portraits."""
    return tuple((name, SHARED / "media" / "photos" / file) for name, file in _PHOTOS.items())


def read_truth(path: Path = TRUTH) -> list[TrueTrack]:
    """The tracks of the truth."""
    tracks: list[TrueTrack] = []
    for line in path.read_text().splitlines():
        if line.startswith("track "):
            head, _, what = line.partition(" | ")
            name = head.split(" ", 2)[2]
            tracks.append(TrueTrack("" if name == "-" else name, what, {}))
        elif not line.startswith("#"):
            frame, x1, y1, x2, y2 = map(int, line.split())
            tracks[-1].faces[frame] = (x1, y1, x2, y2)
    return tracks


def compare(truth: list[TrueTrack], said: Said) -> list[Agreement]:
    """Every track of the truth against what was said."""
    return [_compare(track, said) for track in truth]


def _compare(track: TrueTrack, said: Said) -> Agreement:
    names: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    agreed = strictly = 0
    for frame, face in track.faces.items():
        owner = _owner(face, said.boxes.get(frame, {}))
        sighting = said.sightings.get(owner) if owner else None
        name = sighting.name if sighting else ""
        names[name] += 1
        ours.update([owner] if owner else [])
        strictly += name == track.name
        agreed += name == track.name or (track.name == TURNED_AWAY and not name)
    return Agreement(track, agreed, strictly, names, ours)


def _owner(face: Box, boxes: dict[str, Box]) -> str | None:
    """The track in whose box a face is; of several the one whose top middle is nearest."""
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    near = [
        (abs(x - (x1 + x2) / 2) + abs(y - y1), track_id)
        for track_id, (x1, y1, x2, y2) in boxes.items()
        if x1 <= x <= x2 and y1 <= y <= y2
    ]
    return min(near)[1] if near else None


def share(agreements: list[Agreement], *, strict: bool = False) -> float:
    """How many of all faces agree, 0 to 1."""
    faces = sum(len(one.track.faces) for one in agreements)
    return sum(one.strictly if strict else one.agreed for one in agreements) / faces


def share_of_frames(truth: list[TrueTrack], names: Mapping[int, set[str]]) -> float:
    """How many frames (from 0) have the names of the truth and no others, 0 to 1."""
    there: dict[int, set[str]] = defaultdict(set)
    for track in truth:
        for frame in track.faces:
            there[frame] |= {track.name} - {""}
    same = sum(
        said in (there[frame], there[frame] - {TURNED_AWAY}) for frame, said in names.items()
    )
    return same / len(names)


def _names_by_frame(said: Said) -> dict[int, set[str]]:
    return {
        frame: {said.sightings[one].name for one in boxes if one in said.sightings} - {""}
        for frame, boxes in said.boxes.items()
    }


def turned_away(agreements: list[Agreement], said: Said) -> pb.Sighting | None:
    """The last sighting of our track that has most faces of who is turned away."""
    (agreement,) = (one for one in agreements if one.track.name == TURNED_AWAY)
    tracks = [track for track, _ in agreement.ours.most_common() if track in said.sightings]
    return said.sightings[tracks[0]] if tracks else None


def measure() -> Said:
    """The film through the real pipeline, every frame of it."""
    with own_stack(SHARED / "models", photos()) as settings:
        how = CameraSettings(pace="fast", motion=False)
        with installation.running_services(settings, *installation.ALL_SERVICES) as services:
            installation.wait_until_ready(settings, services)
            add_cameras(settings, [NewCamera(camera_id=_CAMERA, uri=str(FILM), settings=how)])
            installation.wait_until_through(settings, services, 1, _SECONDS)
        return _read(settings)


def _read(settings: Settings) -> Said:
    boxes = {}
    for record in read_all(settings, TRACKS):
        frame = record.decode(pb.FrameTracks)
        # A camera counts its frames from 1.
        boxes[frame.sequence - 1] = {
            one.track_id: (one.box.x1, one.box.y1, one.box.x2, one.box.y2) for one in frame.tracks
        }
    sightings = {one.track_id: one for one in _sightings(settings)}
    embeddings = sum(
        record.decode(pb.FaceEvent).HasField("observation") for record in read_all(settings, FACES)
    )
    with connect(settings) as db:
        people = {str(id_): name for id_, name in db.execute("SELECT id, name FROM employees")}
    return Said(boxes, sightings, embeddings, people)


def _sightings(settings: Settings) -> Iterator[pb.Sighting]:
    for record in read_all(settings, SIGHTINGS):
        yield record.decode(pb.Sighting)


def _print(agreements: list[Agreement], said: Said) -> None:
    table = Table(title=f"{FILM.name}: {share(agreements):.1%} of the faces agree")
    for column in ("faces", "who it is", "what was said of them", "agree"):
        table.add_column(column)
    for one in agreements:
        names = ", ".join(f"{name or 'unnamed'} {count}" for name, count in one.names.items())
        who = one.track.name or f"({one.track.what})"
        table.add_row(str(len(one.track.faces)), who, names, str(one.agreed))
    console.print(table)
    console.print(
        f"taking {TURNED_AWAY} for named only where his name is said: "
        f"{share(agreements, strict=True):.1%}"
    )
    candidate = turned_away(agreements, said)
    if candidate is not None:
        console.print(
            f"{TURNED_AWAY}: first candidate "
            f"{said.people.get(candidate.candidate, candidate.candidate) or 'nobody'}, score "
            f"{candidate.candidate_score:.3f}, threshold {candidate.threshold:.3f} for a wanted "
            f"rate of {candidate.wanted_rate:g}: {candidate.name or 'not named'}"
            f" ({candidate.reason})"
        )


def main(*, loop: bool = True) -> dict[str, Any]:
    """Measure and print; the numbers by name, None where it is skipped.

    With `loop` the embeddings of a loop over every face of every frame are counted beside ours.
    """
    reason = missing()
    if reason is not None:
        console.print(f"the stage clip: skipped, {reason}")
        return {"stage_clip_agreement": None}
    console.print("the stage clip through the pipeline ...")
    said = measure()
    truth = read_truth()
    agreements = compare(truth, said)
    _print(agreements, said)
    frames = share_of_frames(truth, _names_by_frame(said))
    console.print(f"frames with the names of the truth and no others: {frames:.1%}")
    turned = turned_away(agreements, said) or pb.Sighting()
    numbers: dict[str, Any] = {
        "stage_clip_faces": sum(len(one.track.faces) for one in agreements),
        "stage_clip_agreement": round(share(agreements), 4),
        "stage_clip_agreement_strict": round(share(agreements, strict=True), 4),
        "stage_clip_frames_agreement": round(frames, 4),
        "stage_clip_names": sorted({one.name for one in said.sightings.values()} - {""}),
        "stage_clip_candidate": said.people.get(turned.candidate),
        "stage_clip_candidate_score": round(turned.candidate_score, 4),
        "stage_clip_candidate_threshold": round(turned.threshold, 4),
        "stage_clip_candidate_named": turned.name,
        "stage_clip_embeddings": said.embeddings,
    }
    if loop:
        console.print("the stage clip through a loop ...")
        counted = baseline.measure(FILM, SHARED / "models", photos()).embeddings
        share_of_it = said.embeddings / counted
        console.print(f"embeddings: {said.embeddings} of the loop's {counted}: {share_of_it:.1%}")
        numbers["stage_clip_embeddings_loop"] = counted
    return numbers


if __name__ == "__main__":
    configure_logging("WARNING", kafka=False)
    parser = argparse.ArgumentParser(prog="benchmarks.stage_clip")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="count no baseline")
    try:
        print(json.dumps(main(**vars(parser.parse_args()))))
    except SightlineError as error:
        sys.exit(f"bench: {error}")
