"""A site: 40 people walk past 4 cameras through the real pipeline; identities are compared.

The films are made of the ORL portraits, no portrait in two cameras (`walks`). Some people are
enrolled, the others are to get one global id each. It is done twice: undisturbed, and with the
matcher and the vision workers killed in the middle.

The calibration that the models bring was measured on the same portraits: this measures the
pipeline. What a calibration promises of people it has not seen, `benchmarks.identity` measures.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.table import Table

from benchmarks import walks
from benchmarks.idf1 import IdScore, id_score
from benchmarks.material import FACE_MODELS, SHARED, absent, link_face_models
from benchmarks.rig import add_films, embeddings_of, own_folder, own_stack, run_as_program, wait_for
from benchmarks.walks import Site
from ops.demo import installation
from ops.demo.film import write_film
from ops.demo.results import PipelineOutput, read_output
from ops.demo.truth import Appearance, DecidedIdentity, TrackBoxes, contains_middle
from ops.local_stack.process_registry import running_services
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import connect

PEOPLE, ENROLLED, CAMERAS, SEED = 40, 15, 4, 1

_KILLED = ("match", "vision")
_PATIENCE_SECONDS = 600.0

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Comparison of the tracks' identities with the truth of the films."""

    score: IdScore
    """Score over every frame in which a face is wholly in the picture."""
    of_tracks: IdScore
    """Score over the frames that a track covers: the matcher's part."""
    tracks: int
    wrong_names: tuple[str, ...]
    shared_ids: tuple[str, ...]
    """Global ids that several people have."""
    split: tuple[str, ...]
    """People who have several global ids."""
    strays: int
    """Tracks with an identity but without a person."""
    undecided: int
    """Tracks of a person without an identity."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one pass."""

    verdict: Verdict
    frames: int
    boxes: int
    """Faces on frames: the number of embeddings of a loop without tracks."""
    embeddings: int
    seconds: float


def missing() -> str | None:
    """Return the reason why this cannot run, or None."""
    return absent(SHARED / "media" / "orl", *FACE_MODELS)


def judge(site: Site, tracks: Iterable[TrackBoxes]) -> Verdict:
    """Compare tracks and their identities with the truth of the films."""
    truth, edges = _truth(site), _truth(site, partly=True)
    appeared = sum(map(len, truth.values()))
    pairs: list[tuple[str, int | str]] = []
    identities_by_person: dict[str, set[DecidedIdentity]] = defaultdict(set)
    wrong, strays, undecided, count = [], 0, 0, 0
    for track in tracks:
        count += 1
        (identity,) = track.identities or (None,)
        people = Counter(_people_in_box(track, truth))
        if not people:
            # A person who is just leaving does not count for the score, but must be right.
            leaving = Counter(_people_in_box(track, edges)).most_common(1)
            if identity is not None and leaving:
                identities_by_person[leaving[0][0]].add(identity)
                wrong += _misnamed(leaving[0][0], identity)
            strays += identity is not None and not leaving
            continue
        # A track without an identity counts as an identity of its own in the score.
        key = identity.global_id if identity else track.track_id
        pairs += [(person, key) for person in people.elements()]
        person = people.most_common(1)[0][0]
        if identity is None:
            undecided += 1
            continue
        identities_by_person[person].add(identity)
        wrong += _misnamed(person, identity)
    owners: dict[int, set[str]] = defaultdict(set)
    for person, identities in identities_by_person.items():
        for identity in identities:
            owners[identity.global_id].add(person)
    return Verdict(
        score=id_score(pairs, missed=appeared - len(pairs)),
        of_tracks=id_score(pairs),
        tracks=count,
        wrong_names=tuple(sorted(wrong)),
        shared_ids=tuple(
            sorted(", ".join(sorted(all_)) for all_ in owners.values() if len(all_) > 1)
        ),
        split=tuple(
            sorted(
                person for person, identities in identities_by_person.items() if len(identities) > 1
            )
        ),
        strays=strays,
        undecided=undecided,
    )


def _truth(site: Site, *, partly: bool = False) -> dict[tuple[str, int], list[Appearance]]:
    """Return the visible people by camera and frame."""
    truth: dict[tuple[str, int], list[Appearance]] = defaultdict(list)
    for scene in site.scenes:
        for appearance in walks.appearances(scene, partly=partly):
            truth[appearance.camera, appearance.frame].append(appearance)
    return truth


def _misnamed(person: str, identity: DecidedIdentity) -> list[str]:
    named = bool(identity.name) and identity.name != person
    return [f"{person} named {identity.name}"] if named else []


def _people_in_box(
    track: TrackBoxes, truth: dict[tuple[str, int], list[Appearance]]
) -> Iterable[str]:
    """Yield the person in a track's box, for every frame with a person."""
    for frame, box in track.boxes.items():
        for appearance in truth.get((track.camera, frame), ()):
            if contains_middle(box, appearance.face):
                yield appearance.name
                break


@dataclass(frozen=True, slots=True)
class Material:
    """A site's films by camera, photos of the enrolled people, and a folder of models."""

    films: dict[str, Path]
    photos: tuple[tuple[str, Path], ...]
    models: Path


def make(site: Site, folder: Path) -> Material:
    """Write a site's films, photos and models to a folder."""
    films = {scene.camera: folder / f"{scene.camera}.mp4" for scene in site.scenes}
    for scene in site.scenes:
        write_film(films[scene.camera], walks.render(scene))
    photos = []
    for name, portraits in site.enrolled.items():
        for portrait in portraits:
            photos.append((name, folder / f"{portrait.stem}.png"))
            cv2.imwrite(str(photos[-1][1]), walks.photo(portrait))
    # Without a person detector: the films show heads alone.
    return Material(films, tuple(photos), link_face_models(folder))


def measure(site: Site, material: Material, *, disturbed: bool) -> Result:
    """Run the films through the real pipeline; `disturbed` kills workers in the middle."""
    with own_stack(material.models, material.photos, anyway=True) as settings:
        began = time.monotonic()
        results = _run(
            settings, material.films, sum(scene.frames for scene in site.scenes), disturbed
        )
        seconds = time.monotonic() - began
        verdict = judge(site, results.tracks)
        boxes = sum(len(track.boxes) for track in results.tracks)
        return Result(verdict, results.frames, boxes, embeddings_of(settings), seconds)


def _run(
    settings: Settings, films: dict[str, Path], frames: int, disturbed: bool
) -> PipelineOutput:
    with installation.running_services(settings, *installation.ALL_SERVICES) as services:
        installation.wait_until_ready(settings, services)
        add_films(settings, films)
        if disturbed:
            _wait_for_frames(settings, frames // 2)
            _kill(settings)
        installation.wait_until_complete(settings, services, len(films), _PATIENCE_SECONDS)
    with connect(settings) as db:
        return read_output(settings, db)


def _wait_for_frames(settings: Settings, frames: int) -> None:
    with connect(settings, autocommit=True) as db:
        if not wait_for(
            lambda: installation.read_progress(db).frames >= frames, _PATIENCE_SECONDS, 0.1
        ):
            log = installation.log_of(settings)
            raise SightlineError(f"{frames} frames do not come; see {log}")


def _kill(settings: Settings) -> None:
    """Kill the workers, as a power cut would."""
    victims = [worker for worker in running_services(settings) if worker.name in _KILLED]
    if {worker.name for worker in victims} != set(_KILLED):
        raise SightlineError("the workers that are to be killed do not run")
    for victim in victims:
        victim.process.kill()


def _print(site: Site, results: Sequence[tuple[str, Result]]) -> None:
    people, enrolled, cameras = len(site.people), len(site.enrolled), len(site.scenes)
    table = Table(title=f"{people} people, {enrolled} of them enrolled, past {cameras} cameras")
    table.add_column("")
    for name, _ in results:
        table.add_column(name, justify="right")

    def row(title: str, *values: object) -> None:
        table.add_row(title, *map(str, values))

    each = [result for _, result in results]
    verdicts = [result.verdict for result in each]
    row("IDF1", *(f"{verdict.score.f1:.3f}" for verdict in verdicts))
    row("  of what has a track", *(f"{verdict.of_tracks.f1:.3f}" for verdict in verdicts))
    scores = [verdict.score for verdict in verdicts]
    row("  IDP / IDR", *(f"{score.precision:.3f} / {score.recall:.3f}" for score in scores))
    row("tracks", *(verdict.tracks for verdict in verdicts))
    row("  with a wrong name", *(len(verdict.wrong_names) for verdict in verdicts))
    row("  without an identity", *(verdict.undecided for verdict in verdicts))
    row("  with an identity, without a person", *(verdict.strays for verdict in verdicts))
    row("ids of two people", *(len(verdict.shared_ids) for verdict in verdicts))
    row("people with two ids", *(len(verdict.split) for verdict in verdicts))
    row("faces on frames", *(result.boxes for result in each))
    embeddings = [(result.embeddings, result.embeddings / result.boxes) for result in each]
    row("embeddings", *(f"{count} ({ratio:.1%})" for count, ratio in embeddings))
    row("frames/s", *(f"{result.frames / result.seconds:.0f}" for result in each))
    console.print(table)
    for name, result in results:
        verdict = result.verdict
        for title, details in (
            ("wrong names", verdict.wrong_names),
            ("one id for", verdict.shared_ids),
            ("several ids", verdict.split),
        ):
            if details:
                console.print(f"{name}, {title}: {'; '.join(details)}")


def main(
    *,
    people: int = PEOPLE,
    enrolled: int = ENROLLED,
    cameras: int = CAMERAS,
    seed: int = SEED,
    killed_only: bool = False,
) -> dict[str, Any]:
    """Measure and print; the numbers by name, None where it is skipped."""
    reason = missing()
    if reason is not None:
        console.print(f"people at a site: skipped, {reason}")
        return {"site_idf1": None}
    site = walks.plan(
        SHARED / "media" / "orl", people=people, enrolled=enrolled, cameras=cameras, seed=seed
    )
    runs = (
        {"workers killed": True} if killed_only else {"undisturbed": False, "workers killed": True}
    )
    results = []
    with own_folder() as folder:
        made = make(site, folder)
        for name, disturbed in runs.items():
            console.print(f"a site of {cameras} cameras, {name} ...")
            results.append((name, measure(site, made, disturbed=disturbed)))
    _print(site, results)
    verdicts = [result.verdict for _, result in results]
    return {
        "site_idf1": [round(verdict.score.f1, 4) for verdict in verdicts],
        "site_tracks": [verdict.tracks for verdict in verdicts],
        "site_wrong_names": [len(verdict.wrong_names) for verdict in verdicts],
        "site_shared_ids": [len(verdict.shared_ids) for verdict in verdicts],
        "site_split_people": [len(verdict.split) for verdict in verdicts],
        "site_strays": [verdict.strays for verdict in verdicts],
        "site_embeddings": [result.embeddings for _, result in results],
    }


def _arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="benchmarks.site")
    defaults = {"people": PEOPLE, "enrolled": ENROLLED, "cameras": CAMERAS, "seed": SEED}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--killed-only", action="store_true", help="without the undisturbed run")
    return vars(parser.parse_args())


if __name__ == "__main__":
    run_as_program("bench", lambda: print(json.dumps(main(**_arguments()))))
