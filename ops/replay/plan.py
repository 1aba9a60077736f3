"""Plan of a run: its motion events, the offsets of their frames, and its inexactness."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.replay import window_frames
from ops.replay.window_frames import LocatedFrames, WindowEvent
from ops.runs.tables import create_schema
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import RUN_NAME, Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect
from sightline.storage.runs import Run


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Request for a replay. Cameras by name; none: all of them."""

    name: str
    since: datetime
    until: datetime
    cameras: Sequence[str]
    made_by: str | None = None


def plan(settings: Settings, request: ReplayRequest) -> Run:
    """Store a run, create its tables, and fill in its motion events.

    The models are those of the settings. Raises SightlineError if there are no frames to replay.
    """
    _check(request)
    pack = resolve_pack(settings).id
    with connect(settings) as db:
        cameras = _camera_ids(db, request.cameras)
        events = window_frames.events_of(db, request.since, request.until, cameras)
    finished = [event for event in events if event.is_over]
    if not finished:
        raise SightlineError(_no_events_reason(events))
    located = window_frames.locate(settings, finished)
    chosen = [event for event in finished if event.event_id not in located.deleted_events]
    if not chosen or not located.spans:
        raise SightlineError("Kafka holds no frames of that window any more")
    run = Run(
        name=request.name,
        from_at=request.since,
        to_at=request.until,
        cameras=sorted({event.camera_id for event in chosen}),
        models=settings.models,
        pack=pack,
        stage="new",
        spans=located.spans,
        detail="; ".join(_shortcomings(len(events) - len(finished), located)),
    )
    _store(settings, run, chosen, request.made_by)
    return run


def _check(request: ReplayRequest) -> None:
    if not re.fullmatch(RUN_NAME, request.name) or request.name == "live":
        raise SightlineError(
            f"--run {request.name[:40]!r}: a name of small letters, digits and _, 40 at most,"
            " not live"
        )
    if request.since >= request.until:
        raise SightlineError("--from has to be before --to")


def _camera_ids(db: Connection, names: Sequence[str]) -> list[str]:
    """Return the ids of cameras. Raises NotFoundError for a name that no camera has."""
    rows = db.execute("SELECT name, camera_id FROM cameras WHERE name = ANY(%s)", (list(names),))
    ids: dict[str, str] = dict(rows.fetchall())
    unknown = sorted(set(names) - ids.keys())
    if unknown:
        raise NotFoundError(f"there is no camera {unknown[0][:80]}; see `sightline camera list`")
    return list(ids.values())


def _no_events_reason(events: Sequence[WindowEvent]) -> str:
    if events:
        return "what moves in that window has not ended, or is not worked off; replay it later"
    return "nothing moved before a camera in that window; see `sightline logs visitors`"


def _shortcomings(open_events: int, located: LocatedFrames) -> list[str]:
    """Return the reasons why the run cannot equal the live run."""
    reasons = []
    if open_events:
        reasons.append(f"{_count_text(open_events)} not over yet, left out")
    if located.deleted_events:
        count = _count_text(len(located.deleted_events))
        reasons.append(f"{count} left out: Kafka has no frames of them any more")
    if located.truncated_events:
        reasons.append(
            f"Kafka has lost the first frames of {_count_text(len(located.truncated_events))}"
        )
    reasons += [
        f"live skipped {frames} frames of {camera}"
        for camera, frames in sorted(located.skipped.items())
        if frames
    ]
    return reasons


def _count_text(count: int) -> str:
    return f"{count} motion event{'' if count == 1 else 's'}"


def _store(
    settings: Settings, run: Run, events: Sequence[WindowEvent], made_by: str | None
) -> None:
    with connect(settings) as db, db.cursor() as cursor:
        if not runs.add(cursor, run, made_by):
            raise ConflictError(f"there is a run {run.name} already; choose another name")
        create_schema(cursor, run.name)
        window_frames.prefill(cursor, run.name, events)
