"""A run before it begins: its motion events, their frames, and what cannot be exact."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.replay import window
from ops.replay.window import Event, Found
from ops.runs.tables import create_schema
from sightline.models.packs import resolve_pack
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import RUN_NAME, Settings
from sightline.storage import runs
from sightline.storage.db import Connection, connect
from sightline.storage.runs import Run


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to see again. No cameras: all of them."""

    name: str
    since: datetime
    until: datetime
    cameras: Sequence[str]
    made_by: str | None = None


def plan(settings: Settings, wish: Wish) -> Run:
    """Note a run, make its tables and tell them of its motion events.

    The models are those of the settings. Raises SightlineError where there is nothing to see.
    """
    _check(wish)
    pack = resolve_pack(settings).id
    with connect(settings) as db:
        _check_cameras(db, wish.cameras)
        met = window.events_of(db, wish.since, wish.until, wish.cameras)
    over = [one for one in met if one.is_over]
    if not over:
        raise SightlineError(_nothing(met))
    found = window.locate(settings, over)
    events = [one for one in over if one.event_id not in found.gone]
    if not events or not found.spans:
        raise SightlineError("Kafka holds no frames of that window any more")
    run = Run(
        name=wish.name,
        from_at=wish.since,
        to_at=wish.until,
        cameras=sorted({one.camera_id for one in events}),
        models=settings.models,
        pack=pack,
        stage="new",
        spans=found.spans,
        detail="; ".join(_shortcomings(len(met) - len(over), found)),
    )
    _note(settings, run, events, wish.made_by)
    return run


def _check(wish: Wish) -> None:
    if not re.fullmatch(RUN_NAME, wish.name) or wish.name == "live":
        raise SightlineError(
            f"--run {wish.name[:40]!r}: a name of small letters, digits and _, 40 at most, not live"
        )
    if wish.since >= wish.until:
        raise SightlineError("--from has to be before --to")


def _check_cameras(db: Connection, cameras: Sequence[str]) -> None:
    rows = db.execute("SELECT camera_id FROM cameras WHERE camera_id = ANY(%s)", (list(cameras),))
    unknown = sorted(set(cameras) - {camera for (camera,) in rows})
    if unknown:
        raise NotFoundError(f"there is no camera {unknown[0][:80]}; see `sightline camera list`")


def _nothing(met: Sequence[Event]) -> str:
    if met:
        return "what moves in that window has not ended, or is not worked off; replay it later"
    return "nothing moved before a camera in that window; see `sightline logs visitors`"


def _shortcomings(open_events: int, found: Found) -> list[str]:
    """What keeps the run from being as live was."""
    told = []
    if open_events:
        told.append(f"{_events(open_events)} not over yet, left out")
    if found.gone:
        told.append(f"{_events(len(found.gone))} left out: Kafka has no frames of them any more")
    if found.cut:
        told.append(f"Kafka has lost the first frames of {_events(len(found.cut))}")
    told += [
        f"live skipped {frames} frames of {camera}"
        for camera, frames in sorted(found.skipped.items())
        if frames
    ]
    return told


def _events(count: int) -> str:
    return f"{count} motion event{'' if count == 1 else 's'}"


def _note(settings: Settings, run: Run, events: Sequence[Event], made_by: str | None) -> None:
    with connect(settings) as db, db.cursor() as cursor:
        if not runs.add(cursor, run, made_by):
            raise ConflictError(f"there is a run {run.name} already; choose another name")
        create_schema(cursor, run.name)
        window.prefill(cursor, run.name, events)
