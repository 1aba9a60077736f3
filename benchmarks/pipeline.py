"""`make bench`: throughput of the pipeline against a tuned loop, and latency of live cameras.

The pipeline's frames are in the topic already when its workers start. Its time runs from the
moment when one worker for each core has its partitions to the last row written.
"""

import json
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks import baseline, latency, stage_clip
from benchmarks.baseline import Result
from benchmarks.material import Material, material
from benchmarks.rig import add_films, embeddings_of, own_folder, own_stack, run_as_program
from ops.demo import installation
from ops.demo.results import PipelineOutput, read_output
from schemas.naming import client_id, vision_group
from schemas.topics import LIVE, frames
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.streaming.client_config import consumer_config

CAMERAS = 4
"""The same film on each, so that no worker is without work."""

_PUBLISH_SECONDS = 300.0
_THROUGH_SECONDS = 600.0
_LOOK_SECONDS = 0.02

console = Console()


@dataclass(frozen=True, slots=True)
class Throughput:
    """Result of the pipeline on the backlog."""

    backlog: int  # frames in the topic
    frames: int  # of them, not committed when the clock started
    seconds: float
    embeddings: int
    found: PipelineOutput

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds


def measure(used_material: Material) -> Throughput:
    """Publish the film on several cameras, then have the services work it off."""
    with own_stack(used_material.models, used_material.photos) as settings:
        _publish(settings, used_material.film)
        with (
            installation.running_services(settings, *installation.ALL_SERVICES) as services,
            connect(settings, autocommit=True) as db,
        ):
            installation.wait_until_ready(settings, services, _LOOK_SECONDS)
            started_at = _database_time(db)
            backlog, committed = _frames(settings)
            installation.wait_until_complete(settings, services, CAMERAS, _THROUGH_SECONDS)
            seconds = _last_row(db) - started_at
            found = read_output(settings, db)
        return Throughput(backlog, backlog - committed, seconds, embeddings_of(settings), found)


def _publish(settings: Settings, film: Path) -> None:
    """Publish the film to Kafka by the producers' own code, as fast as possible."""
    add_films(settings, {f"bench-{number}": film for number in range(CAMERAS)})
    until = time.monotonic() + _PUBLISH_SECONDS
    with (
        installation.running_services(settings, "cameras") as services,
        connect(settings, autocommit=True) as db,
    ):
        while installation.read_progress(db).ended < CAMERAS:
            if services.poll() is not None or time.monotonic() > until:
                raise SightlineError(
                    f"the film was not published; see {installation.log_of(settings)}"
                )
            time.sleep(_LOOK_SECONDS)


def _frames(settings: Settings) -> tuple[int, int]:
    """Return the number of frames in the topic, and of those that vision has committed."""
    topic = frames(settings.fleet)
    parts = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    group = vision_group(settings.fleet, LIVE)
    consumer = Consumer(consumer_config(settings, client_id("bench"), group))
    try:
        committed = sum(max(0, part.offset) for part in consumer.committed(parts, timeout=10))
        ends = [consumer.get_watermark_offsets(part, timeout=10) for part in parts]
    finally:
        consumer.close()
    return sum(high for _, high in ends), committed


def _database_time(db: Connection) -> float:
    return _number(db, "SELECT extract(epoch FROM clock_timestamp())")


def _last_row(db: Connection) -> float:
    """Return the time of the last row; person state is left out: it is written every 5 s."""
    return _number(
        db,
        "SELECT extract(epoch FROM max(updated_at)) FROM sink_offsets"
        " WHERE sink IN ('access-log', 'visitor-log', 'snapshots')",
    )


def _number(db: psycopg.Connection[Any], query: str) -> float:
    row = db.execute(query.encode()).fetchone()
    return float(row[0]) if row else 0.0


def names_by_frame(found: PipelineOutput, camera: str) -> dict[int, set[str]]:
    """Return the names of the tracks in each frame of a camera, by frame number from 0."""
    names: dict[int, set[str]] = defaultdict(set)
    for track in found.tracks:
        if track.camera == camera:
            for frame in track.boxes:
                names[frame] |= {identity.name for identity in track.identities if identity.name}
    return names


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts of frames in which loop and pipeline name the same people."""

    frames: int
    same: int
    named: int  # frames in which either names a person
    same_named: int

    @classmethod
    def of(cls, loop: Result, found: PipelineOutput) -> "Agreement":
        """Compare over all cameras: each has shown the film of the loop."""
        frames = same = named = same_named = 0
        for number in range(CAMERAS):
            ours = names_by_frame(found, f"bench-{number}")
            for frame, theirs in enumerate(loop.names):
                mine = ours.get(frame, set())
                frames += 1
                same += mine == theirs
                named += bool(mine or theirs)
                same_named += bool(mine or theirs) and mine == theirs
        return cls(frames, same, named, same_named)


def truths(loop: Result, found: PipelineOutput) -> tuple[float, float]:
    """Return the fractions of frames with exactly the right names: of the loop, of the pipeline."""
    truth = stage_clip.read_truth()
    frames = range(len(loop.names))
    shares = []
    for number in range(CAMERAS):
        ours = names_by_frame(found, f"bench-{number}")
        shares.append(stage_clip.share_of_frames(truth, {at: ours.get(at, set()) for at in frames}))
    theirs = dict(enumerate(loop.names))
    return stage_clip.share_of_frames(truth, theirs), sum(shares) / CAMERAS


def _print(
    used_material: Material, loop: Result, pipeline: Throughput, agreement: Agreement
) -> None:
    title = f"{used_material.film.name}, {installation.WORKERS} cores"
    table = Table("", "loop", "pipeline", title=title)
    table.add_row("frames", str(loop.frames), f"{pipeline.frames} of {pipeline.backlog}")
    table.add_row("seconds", f"{loop.seconds:.1f}", f"{pipeline.seconds:.1f}")
    table.add_row("frames per second", f"{loop.fps:.1f}", f"{pipeline.fps:.1f}")
    clip = pipeline.embeddings / CAMERAS
    table.add_row("embeddings for one film", str(loop.embeddings), f"{clip:.0f}")
    console.print(table)
    console.print(f"pipeline / loop: {pipeline.fps / loop.fps:.2f}")
    console.print(
        f"the same names in {agreement.same} of {agreement.frames} frames"
        f" ({agreement.same / agreement.frames:.1%}); where either names anybody, in"
        f" {agreement.same_named} of {agreement.named}"
    )


def main() -> None:
    """Measure, print tables, and one line of JSON at the end."""
    with own_folder() as folder:
        used_material = material(folder)
        if used_material.models is None:
            console.print("no ../shared with models: the demo's film and the pack dlib are used")
        console.print("the loop ...")
        loop = baseline.measure(used_material.film, used_material.models, used_material.photos)
        console.print(f"the pipeline, {CAMERAS} cameras of the same film ...")
        pipeline = measure(used_material)
        agreement = Agreement.of(loop, pipeline.found)
        _print(used_material, loop, pipeline, agreement)
        summary: dict[str, Any] = {
            "film": used_material.film.name,
            "loop_fps": round(loop.fps, 2),
            "pipeline_fps": round(pipeline.fps, 2),
            "ratio": round(pipeline.fps / loop.fps, 2),
            "loop_embeddings": loop.embeddings,
            "pipeline_embeddings": pipeline.embeddings / CAMERAS,
            "names_agree": round(agreement.same / agreement.frames, 4),
            "loop_names": sorted(set().union(*loop.names)),
            "pipeline_names": sorted(
                {
                    row.identity.name
                    for row in pipeline.found.rows
                    if row.identity and row.identity.name
                }
            ),
        }
        if used_material.film == stage_clip.FILM:
            right, ours = truths(loop, pipeline.found)
            console.print(
                f"frames with the right names and no others: loop {right:.1%}, pipeline {ours:.1%}"
                " (the loop's tracks run on over cuts, and it has no second thoughts)"
            )
            summary |= {"loop_right": round(right, 4), "pipeline_right": round(ours, 4)}
        summary |= latency.main(used_material.models)
    print(json.dumps(summary, ensure_ascii=False))


if __name__ == "__main__":
    run_as_program("bench", main)
