"""Coordinator of a run: carries out its stages vision, matching and sinks.

The stage is stored in the database, and every stage can be repeated: after a crash another
coordinator continues with the stage of the first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ops.replay.run_services import Workers, run_services
from schemas.naming import of_run, run_topics, vision_group
from schemas.topics import RUN_TOPICS, frames
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect, translated_failures
from sightline.storage.run_progress import SINKS, frames_missing, is_written
from sightline.storage.runs import Run, Stage
from sightline.streaming import topic_reader
from sightline.streaming.admin import apply_topics


@dataclass(frozen=True, slots=True, eq=False)
class Coordinator:
    """Coordinator of one run."""

    _settings: Settings
    _name: str
    _report: Callable[[str], None]
    """Callback that receives lines of progress."""
    _vision_workers: int

    def run(self, stop: Stop) -> Run:
        """Work until the run is over or `stop` is requested; return the run.

        Raises ConflictError if another process carries it out, InfrastructureError if the broker or
        the database fails: the run can be continued then.
        """
        with translated_failures(), connect(self._settings, autocommit=True) as db:
            runs.lock_run(db, self._name)
            run = runs.get(db, self._name)
            self._check_models(run)
            while not run.is_over and not stop.is_set():
                self._advance(db, run, stop)
                run = runs.get(db, self._name)
            return run

    def _check_models(self, run: Run) -> None:
        update = {"models": run.models, "pack": run.pack_setting}
        pack = resolve_pack(self._settings.model_copy(update=update)).id
        if pack != run.pack:
            raise SightlineError(
                f"the run {run.name} has begun with the pack {run.pack}, and now there is {pack}:"
                " put it back, or delete the run and begin another"
            )

    def _advance(self, db: Connection, run: Run, stop: Stop) -> None:
        """Carry out the current stage, and store the next one unless it was stopped."""
        started_at = time.monotonic()
        next_stage: Stage | None
        match run.stage:
            case "new":
                next_stage = self._prepare(run)
            case "vision":
                next_stage = self._run_vision(run, stop)
            case "matching":
                next_stage = self._run_matching(run, stop)
            case _:
                next_stage = self._run_sinks(db, run, stop)
        if next_stage is not None:
            runs.set_stage(db, run.name, next_stage)
            self._report(f"{run.stage}: done in {time.monotonic() - started_at:.1f} s")

    def _prepare(self, run: Run) -> Stage:
        """Create topics, and commit the offsets at which the vision workers begin.

        A partition without frames of the run begins at its high watermark.
        """
        apply_topics(self._settings, run_topics(run.name, run.fleets))
        for fleet in run.fleets:
            topic = frames(fleet).name
            watermarks = topic_reader.fetch_watermarks(self._settings, topic)
            starts = {number: end for number, (_low, end) in watermarks.items()}
            starts |= {number: start for number, (start, _end) in run.spans[topic].items()}
            topic_reader.commit_offsets(
                self._settings, vision_group(fleet, run.name), topic, starts
            )
        return "vision"

    def _run_vision(self, run: Run, stop: Stop) -> Stage | None:
        workers = [
            Workers("vision", self._vision_workers, {"SIGHTLINE_FLEET": fleet})
            for fleet in run.fleets
        ]
        total = sum(end - start for part in run.spans.values() for start, end in part.values())

        def is_done() -> bool:
            remaining = self._frames_left(run)
            self._report(f"vision: {10 * (total - remaining) // total * 10}% of the frames")
            return remaining == 0

        return "matching" if self._run_services(run, workers, stop, is_done) else None

    def _frames_left(self, run: Run) -> int:
        remaining = 0
        for fleet in run.fleets:
            topic = frames(fleet).name
            spans = run.spans[topic]
            group = vision_group(fleet, run.name)
            committed = topic_reader.fetch_committed_offsets(self._settings, group, topic, spans)
            remaining += sum(
                max(0, end - max(start, committed[number]))
                for number, (start, end) in spans.items()
            )
        return remaining

    def _run_matching(self, run: Run, stop: Stop) -> Stage | None:
        self._report("matching")
        # The service ends by itself when it is done.
        return "sinks" if self._run_services(run, [Workers("match-run")], stop, None) else None

    def _run_sinks(self, db: Connection, run: Run, stop: Stop) -> Stage | None:
        own = [of_run(topic, run.name).name for topic in RUN_TOPICS]
        goal = {topic: topic_reader.fetch_end_offsets(self._settings, topic) for topic in own}
        self._report("sinks")
        workers = [Workers(sink) for sink in SINKS]
        if not self._run_services(run, workers, stop, lambda: is_written(db, run.name, goal)):
            return None
        missing = frames_missing(db, run.name)
        if missing:
            runs.set_detail(db, run.name, f"{missing} frames of its motion events were not there")
        return "done"

    def _run_services(
        self, run: Run, workers: list[Workers], stop: Stop, is_done: Callable[[], bool] | None
    ) -> bool:
        if run_services(self._settings, run, workers, stop, is_done):
            return True
        if not stop.is_set():
            raise InfrastructureError(f"the services of the run {run.name} have ended")
        return False
