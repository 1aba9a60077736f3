"""Runs as the database knows them: over which frames, with which models, and how far they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Connection, run_schema

Cursor = psycopg.Cursor[TupleRow]

Stage = Literal["new", "vision", "matching", "sinks", "done", "failed"]

Spans = dict[str, dict[int, tuple[int, int]]]
"""Of each frames topic its partitions, and in each the offsets from the first to behind the last
frame of a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A pass over frames that are in Kafka already."""

    name: str
    from_at: datetime
    to_at: datetime
    cameras: list[str]
    models: Path | None
    pack: str
    stage: Stage
    spans: Spans
    detail: str = ""
    """What keeps it from being exact, one thing after the other."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stage in ("done", "failed")

    @property
    def pack_setting(self) -> Literal["auto", "dlib"]:
        """The setting `pack` that means its pack, whatever it is elsewhere."""
        return "dlib" if self.pack == "dlib" else "auto"

    @property
    def fleets(self) -> list[str]:
        """Whose frames it reads."""
        return sorted(topic.removeprefix("frames.") for topic in self.spans)


def find(db: Connection, name: str) -> Run | None:
    """The run of a name."""
    with db.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM runs WHERE name = %s", (name,)).fetchone()
    return None if row is None else _run(row)


def get(db: Connection, name: str) -> Run:
    """The run of a name. Raises NotFoundError."""
    run = find(db, name)
    if run is None:
        raise NotFoundError(f"there is no run {name[:40]}; see `sightline runs list`")
    return run


def claim(db: Connection, name: str) -> None:
    """Keep others from working on a run until the connection is closed.

    Raises ConflictError where somebody does.
    """
    row = db.execute(
        "SELECT pg_try_advisory_lock(hashtextextended('run|' || %s, 0))", (name,)
    ).fetchone()
    if row != (True,):
        raise ConflictError(f"somebody works on the run {name} already")


def add(cursor: Cursor, run: Run, made_by: str | None) -> bool:
    """Note a new run; False where the name is taken."""
    cursor.execute(
        "INSERT INTO runs (name, from_at, to_at, cameras, models, pack, detail, ends, made_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            run.name,
            run.from_at,
            run.to_at,
            run.cameras,
            None if run.models is None else str(run.models),
            run.pack,
            run.detail or None,
            Jsonb(run.spans),
            made_by,
        ),
    )
    return cursor.rowcount == 1


def reach(db: Connection, name: str, stage: Stage) -> None:
    """Note that all before a stage is done."""
    db.execute(
        "UPDATE runs SET stage = %s, done_at = CASE WHEN %s = 'done' THEN now() END"
        " WHERE name = %s",
        (stage, stage, name),
    )


def remark(db: Connection, name: str, what: str) -> None:
    """Add to what keeps a run from being exact; said once, however often it is said."""
    db.execute(
        "UPDATE runs SET detail = concat_ws('; ', detail, %(what)s::text) WHERE name = %(name)s"
        " AND strpos(coalesce(detail, ''), %(what)s) = 0",
        {"name": name, "what": what},
    )


def events(db: Connection, name: str) -> frozenset[str]:
    """The motion events whose frames belong to a run."""
    table = sql.Identifier(run_schema(name), "motion_events")
    rows = db.execute(sql.SQL("SELECT event_id::text FROM {}").format(table))
    return frozenset(event for (event,) in rows)


_LISTED = """
SELECT run.name, run.from_at, run.to_at, run.cameras, run.pack, run.stage, run.made_at,
    run.done_at, promotion.promoted_at, run.detail
FROM runs run
LEFT JOIN promotions promotion ON promotion.run = run.name AND promotion.taken_back_at IS NULL
ORDER BY run.made_at, run.name
"""


def listed(db: Connection) -> list[dict[str, Any]]:
    """All runs, the oldest first."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LISTED).fetchall()


def _run(row: dict[str, Any]) -> Run:
    return Run(
        name=row["name"],
        from_at=row["from_at"],
        to_at=row["to_at"],
        cameras=row["cameras"],
        models=None if row["models"] is None else Path(row["models"]),
        pack=row["pack"],
        stage=row["stage"],
        spans={topic: _partitions(spans.items()) for topic, spans in row["ends"].items()},
        detail=row["detail"] or "",
    )


def _partitions(spans: Iterable[tuple[str, list[int]]]) -> dict[int, tuple[int, int]]:
    return {int(number): (start, end) for number, (start, end) in spans}
