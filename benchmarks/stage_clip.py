"""A real film against a truth made by hand: `stage_clip.mp4`, four portraits, the real pipeline.

The truth (`tests/stage_clip_truth.txt`) has every face of at least 20 pixels on every frame, linked
over frames into tracks, each with its person. A face agrees if the last decision of our track
whose box contains it has the true name; a face without a track of ours counts as unnamed. One
person is an exception: Barack Obama is half turned away and may be named only where the target
FPIR allows it, so he agrees without a name too; the first candidate of his track is reported
beside it.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import baseline
from benchmarks.material import PHOTOS, SHARED, absent
from benchmarks.rig import add_films, embeddings_of, own_stack, run_as_program
from ops.demo import installation
from ops.demo.truth import Box
from schemas import sightline_pb2 as pb
from schemas.topics import SIGHTINGS, TRACKS
from sightline.runtime.settings import Settings
from sightline.storage.db import connect
from sightline.streaming.topic_reader import read_topic

FILM = SHARED / "media" / "stage_clip.mp4"
TRUTH = Path(__file__).parents[1] / "tests" / "stage_clip_truth.txt"
TURNED_AWAY = "Barack Obama"

_CAMERA = "stage"
_TIMEOUT_SECONDS = 120.0

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class TrueTrack:
    """A person's track in one camera shot of the film."""

    name: str  # empty for a person who is not enrolled
    description: str
    faces: dict[int, Box]  # by frame, from 0


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """Output of the pipeline for the film."""

    boxes: dict[int, dict[str, Box]]
    """Boxes of all tracks by frame and track id."""
    sightings: dict[str, pb.Sighting]
    """Last sighting by track id."""
    embeddings: int
    people: dict[str, str]
    """Names of the enrolled people by their ids."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the faces of one true track with our decisions."""

    track: TrueTrack
    agreed: int
    strictly: int
    """Agreeing faces without the exception for the person turned away."""
    names: Counter[str]
    ours: Counter[str]
    """Our tracks that contain its faces."""


def missing() -> str | None:
    """Return the reason why this cannot run, or None."""
    return absent(FILM, SHARED / "models", *(path for _, path in photos()))


def photos() -> tuple[tuple[str, Path], ...]:
    """Return the four portraits with their names."""
    return (*PHOTOS, (TURNED_AWAY, SHARED / "media" / "photos" / "obama.jpg"))


def read_truth(path: Path = TRUTH) -> list[TrueTrack]:
    """Read the tracks of the truth."""
    tracks: list[TrueTrack] = []
    for line in path.read_text().splitlines():
        if line.startswith("track "):
            head, _, description = line.partition(" | ")
            name = head.split(" ", 2)[2]
            tracks.append(TrueTrack("" if name == "-" else name, description, {}))
        elif not line.startswith("#"):
            frame, x1, y1, x2, y2 = map(int, line.split())
            tracks[-1].faces[frame] = (x1, y1, x2, y2)
    return tracks


def compare(truth: list[TrueTrack], result: PipelineResult) -> list[Agreement]:
    """Compare every true track with the pipeline's decisions."""
    return [_compare(track, result) for track in truth]


def _compare(track: TrueTrack, result: PipelineResult) -> Agreement:
    names: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    agreed = strictly = 0
    for frame, face in track.faces.items():
        owner = baseline.owner(face, result.boxes.get(frame, {}).items())
        sighting = result.sightings.get(owner) if owner else None
        name = sighting.name if sighting else ""
        names[name] += 1
        ours.update([owner] if owner else [])
        strictly += name == track.name
        agreed += name == track.name or (track.name == TURNED_AWAY and not name)
    return Agreement(track, agreed, strictly, names, ours)


def share(agreements: list[Agreement], *, strict: bool = False) -> float:
    """Return the fraction of all faces that agree."""
    faces = sum(len(agreement.track.faces) for agreement in agreements)
    return (
        sum(agreement.strictly if strict else agreement.agreed for agreement in agreements) / faces
    )


def share_of_frames(truth: list[TrueTrack], names: Mapping[int, set[str]]) -> float:
    """Return the fraction of frames (from 0) with exactly the true names."""
    true_names: dict[int, set[str]] = defaultdict(set)
    for track in truth:
        for frame in track.faces:
            true_names[frame] |= {track.name} - {""}
    same = sum(
        frame_names in (true_names[frame], true_names[frame] - {TURNED_AWAY})
        for frame, frame_names in names.items()
    )
    return same / len(names)


def _names_by_frame(result: PipelineResult) -> dict[int, set[str]]:
    return {
        frame: {
            result.sightings[track_id].name for track_id in boxes if track_id in result.sightings
        }
        - {""}
        for frame, boxes in result.boxes.items()
    }


def turned_away(agreements: list[Agreement], result: PipelineResult) -> pb.Sighting | None:
    """Return the last sighting of our track with most faces of the person turned away."""
    (agreement,) = (agreement for agreement in agreements if agreement.track.name == TURNED_AWAY)
    tracks = [track for track, _ in agreement.ours.most_common() if track in result.sightings]
    return result.sightings[tracks[0]] if tracks else None


def measure() -> PipelineResult:
    """Run every frame of the film through the real pipeline."""
    with own_stack(SHARED / "models", photos()) as settings:
        with installation.running_services(settings, *installation.ALL_SERVICES) as services:
            installation.wait_until_ready(settings, services)
            add_films(settings, {_CAMERA: FILM})
            installation.wait_until_complete(settings, services, 1, _TIMEOUT_SECONDS)
        return read_result(settings)


def read_result(settings: Settings) -> PipelineResult:
    """Read what a stack has made of the film, which is all that it has seen."""
    boxes = {}
    for record in read_topic(settings, TRACKS):
        frame = record.decode(pb.FrameTracks)
        # A camera counts its frames from 1.
        boxes[frame.sequence - 1] = {
            track.track_id: (track.box.x1, track.box.y1, track.box.x2, track.box.y2)
            for track in frame.tracks
        }
    sightings = {sighting.track_id: sighting for sighting in _sightings(settings)}
    with connect(settings) as db:
        people = {str(id_): name for id_, name in db.execute("SELECT id, name FROM employees")}
    return PipelineResult(boxes, sightings, embeddings_of(settings), people)


def _sightings(settings: Settings) -> Iterator[pb.Sighting]:
    for record in read_topic(settings, SIGHTINGS):
        yield record.decode(pb.Sighting)


def _print(agreements: list[Agreement], result: PipelineResult) -> None:
    title = f"{FILM.name}: {share(agreements):.1%} of the faces agree"
    table = Table("faces", "person", "decided names", "agree", title=title)
    for agreement in agreements:
        names = ", ".join(f"{name or 'unnamed'} {count}" for name, count in agreement.names.items())
        person = agreement.track.name or f"({agreement.track.description})"
        table.add_row(str(len(agreement.track.faces)), person, names, str(agreement.agreed))
    console.print(table)
    console.print(
        f"taking {TURNED_AWAY} for named only where his name is said: "
        f"{share(agreements, strict=True):.1%}"
    )
    candidate = turned_away(agreements, result)
    if candidate is not None:
        console.print(
            f"{TURNED_AWAY}: first candidate "
            f"{result.people.get(candidate.candidate, candidate.candidate) or 'nobody'}, score "
            f"{candidate.candidate_score:.3f}, threshold {candidate.threshold:.3f} for a wanted "
            f"rate of {candidate.wanted_rate:g}: {candidate.name or 'not named'}"
            f" ({candidate.reason})"
        )


def numbers_of(result: PipelineResult) -> dict[str, Any]:
    """Compare the pipeline's output with the truth and print it; return the numbers by name."""
    truth = read_truth()
    agreements = compare(truth, result)
    _print(agreements, result)
    frames = share_of_frames(truth, _names_by_frame(result))
    console.print(f"frames with the names of the truth and no others: {frames:.1%}")
    turned = turned_away(agreements, result) or pb.Sighting()
    return {
        "stage_clip_faces": sum(len(one.track.faces) for one in agreements),
        "stage_clip_agreement": round(share(agreements), 4),
        "stage_clip_agreement_strict": round(share(agreements, strict=True), 4),
        "stage_clip_frames_agreement": round(frames, 4),
        "stage_clip_names": sorted({one.name for one in result.sightings.values()} - {""}),
        "stage_clip_candidate": result.people.get(turned.candidate),
        "stage_clip_candidate_score": round(turned.candidate_score, 4),
        "stage_clip_candidate_threshold": round(turned.threshold, 4),
        "stage_clip_candidate_named": turned.name,
        "stage_clip_embeddings": result.embeddings,
    }


def main(*, loop: bool = True) -> dict[str, Any]:
    """Measure and print; the numbers by name, None where it is skipped.

    With `loop` the embeddings of a loop over every face of every frame are counted beside ours.
    """
    reason = missing()
    if reason is not None:
        console.print(f"the stage clip: skipped, {reason}")
        return {"stage_clip_agreement": None}
    console.print("the stage clip through the pipeline ...")
    result = measure()
    numbers = numbers_of(result)
    if loop:
        console.print("the stage clip through a loop ...")
        counted = baseline.measure(FILM, SHARED / "models", photos()).embeddings
        share_of_it = result.embeddings / counted
        console.print(f"embeddings: {result.embeddings} of the loop's {counted}: {share_of_it:.1%}")
        numbers["stage_clip_embeddings_loop"] = counted
    return numbers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.stage_clip")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="count no baseline")
    arguments = vars(parser.parse_args())
    run_as_program("bench", lambda: print(json.dumps(main(**arguments))))
