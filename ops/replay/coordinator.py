"""Carries a run out, stage after stage: vision, matching, sinks.

How far it is stands in the database, and every stage can be done again: whoever is killed in one
is followed by another coordinator, which goes on where that one was.
"""

import time
from collections.abc import Callable

from ops.replay.children import Workers, work
from schemas.naming import run_topics, vision_group
from schemas.topics import OF_A_RUN, frames, of_run
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect, failure_told
from sightline.storage.run_progress import SINKS, frames_missing, written
from sightline.storage.runs import Run, Stage
from sightline.streaming import topic_reader
from sightline.streaming.admin import apply_topics

Say = Callable[[str], None]


class Coordinator:
    """One run's; `say` is told how far it is."""

    def __init__(self, settings: Settings, name: str, say: Say, vision_workers: int) -> None:
        self._settings = settings
        self._name = name
        self._say = say
        self._vision_workers = vision_workers

    def carry_out(self, stop: Stop) -> Run:
        """Go on until the run is over, or until `stop`; the run as it is then.

        Raises ConflictError where somebody else does so, InfrastructureError when the broker or
        the database fails: then it can be gone on with.
        """
        with failure_told(), connect(self._settings, autocommit=True) as db:
            runs.claim(db, self._name)
            run = runs.get(db, self._name)
            self._check_models(run)
            while not run.is_over and not stop:
                self._advance(db, run, stop)
                run = runs.get(db, self._name)
            return run

    def _check_models(self, run: Run) -> None:
        wanted = {"models": run.models, "pack": run.pack_setting}
        pack = resolve_pack(self._settings.model_copy(update=wanted)).id
        if pack != run.pack:
            raise SightlineError(
                f"the run {run.name} has begun with the pack {run.pack}, and now there is {pack}:"
                " put it back, or delete the run and begin another"
            )

    def _advance(self, db: Connection, run: Run, stop: Stop) -> None:
        """Do the stage that a run is in, and note the next one unless it was stopped."""
        began = time.monotonic()
        done: Stage | None
        match run.stage:
            case "new":
                done = self._prepare(run)
            case "vision":
                done = self._see(run, stop)
            case "matching":
                done = self._match(run, stop)
            case _:
                done = self._write(db, run, stop)
        if done is not None:
            runs.reach(db, run.name, done)
            self._say(f"{run.stage}: done in {time.monotonic() - began:.1f} s")

    def _prepare(self, run: Run) -> Stage:
        """Topics, and where the vision workers begin: behind the end where nothing is theirs."""
        apply_topics(self._settings, run_topics(run.name, run.fleets))
        for fleet in run.fleets:
            topic = frames(fleet).name
            held = topic_reader.retained(self._settings, topic)
            starts = {number: end for number, (_low, end) in held.items()}
            starts |= {number: start for number, (start, _end) in run.spans[topic].items()}
            topic_reader.commit(self._settings, vision_group(fleet, run.name), topic, starts)
        return "vision"

    def _see(self, run: Run, stop: Stop) -> Stage | None:
        workers = [
            Workers("vision", self._vision_workers, {"SIGHTLINE_FLEET": fleet})
            for fleet in run.fleets
        ]
        goal = sum(end - start for part in run.spans.values() for start, end in part.values())

        def is_done() -> bool:
            left = self._frames_left(run)
            self._say(f"vision: {10 * (goal - left) // goal * 10}% of the frames")
            return left == 0

        return "matching" if self._work(run, workers, stop, is_done) else None

    def _frames_left(self, run: Run) -> int:
        left = 0
        for fleet in run.fleets:
            topic = frames(fleet).name
            spans = run.spans[topic]
            group = vision_group(fleet, run.name)
            at = topic_reader.committed(self._settings, group, topic, spans)
            left += sum(
                max(0, end - max(start, at[number])) for number, (start, end) in spans.items()
            )
        return left

    def _match(self, run: Run, stop: Stop) -> Stage | None:
        self._say("matching")
        # It ends by itself when it is done.
        return "sinks" if self._work(run, [Workers("match-run")], stop, None) else None

    def _write(self, db: Connection, run: Run, stop: Stop) -> Stage | None:
        own = [of_run(topic, run.name).name for topic in OF_A_RUN]
        goal = {topic: topic_reader.ends(self._settings, topic) for topic in own}
        self._say("sinks")
        workers = [Workers(sink) for sink in SINKS]
        if not self._work(run, workers, stop, lambda: written(db, run.name, goal)):
            return None
        missing = frames_missing(db, run.name)
        if missing:
            runs.remark(db, run.name, f"{missing} frames of its motion events were not there")
        return "done"

    def _work(
        self, run: Run, workers: list[Workers], stop: Stop, is_done: Callable[[], bool] | None
    ) -> bool:
        if work(self._settings, run, workers, stop, is_done):
            return True
        if not stop:
            raise InfrastructureError(f"the services of the run {run.name} have ended")
        return False
