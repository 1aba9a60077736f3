"""Promotion of a run to the truth of its window, and its rollback.

The rows of the run's motion events and the live rows swap schemas in one transaction: queries
always read the tables of `public`. The live rows stay in a schema of the promotion, where the sinks
go on writing the live run's rows of these events.
"""

from dataclasses import dataclass

from psycopg import sql

from ops.runs import row_location, row_swap
from ops.runs.tables import create_replaced, create_schema, drop_any_schema
from schemas.naming import replaced_schema, run_schema
from sightline.people import identity_corrections
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage import runs
from sightline.storage.db import Connection, Cursor

_UNPROCESSED = """
SELECT count(*) FROM public.motion_events
WHERE event_id = ANY(%s::uuid[]) AND NOT processed
"""

_WITH_FEWER_FRAMES = """
SELECT count(*) FROM public.motion_events live JOIN {} run USING (event_id)
WHERE run.frames_seen < live.frames_seen
"""

_OTHER_PROMOTIONS = """
SELECT DISTINCT promotion.run FROM promoted_events event
JOIN promotions promotion USING (promotion_id)
WHERE event.event_id = ANY(%s::uuid[]) ORDER BY 1
"""

# A picture without an event is assigned by its time, up to the last frame.
_EVENTS = """
INSERT INTO promoted_events (event_id, camera_id, from_at, to_at, promotion_id)
SELECT event_id, camera_id, least(started_at, ended_at),
    greatest(started_at, ended_at, last_frame_at), %s
FROM public.motion_events WHERE event_id = ANY(%s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class PromotionCounts:
    """Counts of a promotion or a rollback."""

    run: str
    promotion: int
    events: int
    sightings: int


def promote(db: Connection, name: str, made_by: str | None = None) -> PromotionCounts:
    """Make a run the truth of its motion events, in the caller's transaction.

    Raises NotFoundError, and ConflictError for a run that is unfinished, promoted already, without
    an event, or over events that another run is the truth of or the live run still processes.
    """
    with db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)
        run = row_location.get_finished_run(db, name)
        events = sorted(runs.events(db, run.name))
        _check(cursor, run.name, events)
        cursor.execute(
            "INSERT INTO promotions (run, promoted_by) VALUES (%s, %s) RETURNING promotion_id",
            (run.name, made_by),
        )
        (promotion,) = cursor.fetchone() or (0,)
        cursor.execute(_EVENTS, (promotion, events))
        replaced = create_replaced(cursor, promotion)
        sightings = row_swap.swap(cursor, events, incoming=run_schema(run.name), outgoing=replaced)
    return PromotionCounts(run.name, promotion, len(events), sightings)


def roll_back(db: Connection, name: str | None, made_by: str | None = None) -> PromotionCounts:
    """Make the live run the truth again instead of a run, in the caller's transaction.

    Raises NotFoundError if no run is promoted, ConflictError if the run has to be named.
    """
    with db.cursor() as cursor:
        identity_corrections.lock_exclusive(cursor)
        promotion, run = _choose(row_location.promotions_in_force(cursor), name)
        cursor.execute(
            "DELETE FROM promoted_events WHERE promotion_id = %s RETURNING event_id::text",
            (promotion,),
        )
        events = sorted(row[0] for row in cursor.fetchall())
        create_schema(cursor, run)
        replaced = replaced_schema(promotion)
        sightings = row_swap.swap(cursor, events, incoming=replaced, outgoing=run_schema(run))
        drop_any_schema(cursor, replaced)
        cursor.execute(
            "UPDATE promotions SET taken_back_at = now(), taken_back_by = %s"
            " WHERE promotion_id = %s",
            (made_by, promotion),
        )
    return PromotionCounts(run, promotion, len(events), sightings)


def _check(cursor: Cursor, run: str, events: list[str]) -> None:
    if row_location.promotion_of(cursor, run) is not None:
        raise ConflictError(f"run {run} is promoted already")
    if not events:
        raise ConflictError(f"run {run} is over no motion event: there is nothing to promote")
    cursor.execute(_OTHER_PROMOTIONS, (events,))
    if other_runs := [row[0] for row in cursor]:
        raise ConflictError(
            f"run {other_runs[0]} is the truth of a part of this window:"
            f" `sightline runs rollback {other_runs[0]}` first"
        )
    cursor.execute(_UNPROCESSED, (events,))
    if count := _count(cursor):
        raise ConflictError(
            f"the live pass is not through with {count} motion events of this window yet: try later"
        )
    table = sql.Identifier(run_schema(run), "motion_events")
    cursor.execute(sql.SQL(_WITH_FEWER_FRAMES).format(table))
    if count := _count(cursor):
        raise ConflictError(
            f"of {count} motion events run {run} has seen fewer frames than the live pass:"
            " Kafka no longer had them"
        )


def _count(cursor: Cursor) -> int:
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def _choose(promotions: dict[int, str], name: str | None) -> tuple[int, str]:
    if name is None and len(promotions) > 1:
        runs = ", ".join(promotions.values())
        raise ConflictError(f"{runs} are promoted: name the one to roll back")
    for promotion, run in promotions.items():
        if name in (None, run):
            return promotion, run
    raise NotFoundError(f"{f'run {name}' if name else 'no run'} is not promoted")
