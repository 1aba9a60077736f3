"""Table `runs`: the frames, models and stage of each run."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from psycopg import sql
from psycopg.types.json import Jsonb

from schemas.naming import LockKind, fleet_of, lock_number, run_schema
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Connection, Cursor, dict_rows

Stage = Literal["new", "vision", "matching", "sinks", "done", "failed"]

Spans = dict[str, dict[int, tuple[int, int]]]
"""Offsets of a run's frames by topic and partition: first, and last + 1."""


@dataclass(frozen=True, slots=True)
class Run:
    """Replay run over frames that are in Kafka already."""

    name: str
    from_at: datetime
    to_at: datetime
    cameras: list[str]
    models: Path | None
    pack: str
    stage: Stage
    spans: Spans
    detail: str = ""
    """Reasons why the run is not exact, joined by `; `."""

    @property
    def is_over(self) -> bool:
        """True if no stage is left."""
        return self.stage in ("done", "failed")

    @property
    def pack_setting(self) -> Literal["auto", "dlib"]:
        """Value of the setting `pack` that selects the run's pack."""
        return "dlib" if self.pack == "dlib" else "auto"

    @property
    def fleets(self) -> list[str]:
        """Fleets whose frames the run reads."""
        return sorted(map(fleet_of, self.spans))


def find(db: Connection, name: str) -> Run | None:
    """Return the run of a name, or None."""
    rows = dict_rows(db, "SELECT * FROM runs WHERE name = %s", (name,))
    return _run(rows[0]) if rows else None


def get(db: Connection, name: str) -> Run:
    """Return the run of a name. Raises NotFoundError."""
    run = find(db, name)
    if run is None:
        raise NotFoundError(f"there is no run {name[:40]}; see `sightline runs list`")
    return run


def lock_run(db: Connection, name: str) -> None:
    """Lock a run for this connection until it is closed.

    Raises ConflictError if another process works on the run.
    """
    row = db.execute(
        "SELECT pg_try_advisory_lock(%s)", (lock_number(LockKind.RUN, name),)
    ).fetchone()
    if row != (True,):
        raise ConflictError(f"somebody works on the run {name} already")


def add(cursor: Cursor, run: Run, made_by: str | None) -> bool:
    """Store a new run; return False if the name is taken."""
    cursor.execute(
        "INSERT INTO runs (name, from_at, to_at, cameras, models, pack, detail, ends, made_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            run.name, run.from_at, run.to_at, run.cameras,
            None if run.models is None else str(run.models), run.pack, run.detail or None,
            Jsonb(run.spans), made_by,
        ),
    )  # fmt: skip
    return cursor.rowcount == 1


def set_stage(db: Connection, name: str, stage: Stage) -> None:
    """Store the stage that a run has reached."""
    db.execute(
        "UPDATE runs SET stage = %s, done_at = CASE WHEN %s = 'done' THEN now() END"
        " WHERE name = %s",
        (stage, stage, name),
    )


def set_detail(db: Connection, name: str, reason: str) -> None:
    """Add a reason why a run is not exact; each reason is stored once."""
    db.execute(
        "UPDATE runs SET detail = concat_ws('; ', detail, %(reason)s::text) WHERE name = %(name)s"
        " AND strpos(coalesce(detail, ''), %(reason)s) = 0",
        {"name": name, "reason": reason},
    )


def events(db: Connection, name: str) -> frozenset[str]:
    """Return the ids of the motion events whose frames belong to a run."""
    table = sql.Identifier(run_schema(name), "motion_events")
    rows = db.execute(sql.SQL("SELECT event_id::text FROM {}").format(table))
    return frozenset(event for (event,) in rows)


_LISTED = """
SELECT run.name, run.from_at, run.to_at,
    ARRAY(SELECT camera_name(id) FROM unnest(run.cameras) AS id ORDER BY 1) AS cameras,
    run.pack, run.stage, run.made_at, run.done_at, promotion.promoted_at, run.detail
FROM runs run
LEFT JOIN promotions promotion ON promotion.run = run.name AND promotion.taken_back_at IS NULL
ORDER BY run.made_at, run.name
"""


def list_runs(db: Connection) -> list[dict[str, Any]]:
    """Return all runs, the oldest first; their cameras by name."""
    return dict_rows(db, _LISTED)


def _run(row: dict[str, Any]) -> Run:
    same = ("name", "from_at", "to_at", "cameras", "pack", "stage")
    return Run(
        **{name: row[name] for name in same},
        models=None if row["models"] is None else Path(row["models"]),
        spans={
            topic: {int(number): (start, end) for number, (start, end) in spans.items()}
            for topic, spans in row["ends"].items()
        },
        detail=row["detail"] or "",
    )
