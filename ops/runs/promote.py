"""Which pass is the truth of its window: a run is promoted, and taken back.

The rows of the run's motion events change places with the live ones, in one transaction: what
people query are always the tables of `public`. The live rows stay in a schema of the promotion,
where the sinks go on with what the live pass still says of these events.
"""

from dataclasses import dataclass

from psycopg import sql

from ops.runs import row_location, row_swap
from ops.runs.tables import create_replaced, create_schema, drop
from sightline.people import identity_corrections
from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage import runs
from sightline.storage.db import Connection, run_schema
from sightline.storage.run_schemas import replaced_schema

_NOT_OVER = """
SELECT count(*) FROM public.motion_events
WHERE event_id = ANY(%s::uuid[]) AND NOT processed
"""

_FEWER = """
SELECT count(*) FROM public.motion_events live JOIN {} run USING (event_id)
WHERE run.frames_seen < live.frames_seen
"""

_OTHERS = """
SELECT DISTINCT promotion.run FROM promoted_events event
JOIN promotions promotion USING (promotion_id)
WHERE event.event_id = ANY(%s::uuid[]) ORDER BY 1
"""

# A picture without an event is told by its time: up to the last frame.
_EVENTS = """
INSERT INTO promoted_events (event_id, camera_id, from_at, to_at, promotion_id)
SELECT event_id, camera_id, least(started_at, ended_at),
    greatest(started_at, ended_at, last_frame_at), %s
FROM public.motion_events WHERE event_id = ANY(%s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Promoted:
    """What was made the truth."""

    run: str
    promotion: int
    events: int
    sightings: int


def promote(db: Connection, name: str, made_by: str | None = None) -> Promoted:
    """Make a run the truth of its motion events, in the caller's transaction.

    Raises NotFoundError, and ConflictError for a run that is unfinished, promoted already,
    without an event, or over events that another one is the truth of, or live is still at.
    """
    with db.cursor() as cursor:
        identity_corrections.lock(cursor)
        run = row_location.finished(db, name)
        events = sorted(runs.events(db, run.name))
        _check(cursor, run.name, events)
        cursor.execute(
            "INSERT INTO promotions (run, promoted_by) VALUES (%s, %s) RETURNING promotion_id",
            (run.name, made_by),
        )
        (promotion,) = cursor.fetchone() or (0,)
        cursor.execute(_EVENTS, (promotion, events))
        aside = create_replaced(cursor, promotion)
        came = row_swap.replace(cursor, events, incoming=run_schema(run.name), outgoing=aside)
    return Promoted(run.name, promotion, len(events), came)


def take_back(db: Connection, instead_of: str | None, made_by: str | None = None) -> Promoted:
    """Make the live pass the truth again where a run was, in the caller's transaction.

    Raises NotFoundError where none is promoted, ConflictError where it has to be said which.
    """
    with db.cursor() as cursor:
        identity_corrections.lock(cursor)
        promotion, run = _chosen(row_location.in_force(cursor), instead_of)
        cursor.execute(
            "DELETE FROM promoted_events WHERE promotion_id = %s RETURNING event_id::text",
            (promotion,),
        )
        events = sorted(row[0] for row in cursor.fetchall())
        create_schema(cursor, run)
        aside = replaced_schema(promotion)
        came = row_swap.replace(cursor, events, incoming=aside, outgoing=run_schema(run))
        drop(cursor, aside)
        cursor.execute(
            "UPDATE promotions SET taken_back_at = now(), taken_back_by = %s"
            " WHERE promotion_id = %s",
            (made_by, promotion),
        )
    return Promoted(run, promotion, len(events), came)


def _check(cursor: Cursor, run: str, events: list[str]) -> None:
    if row_location.promotion_of(cursor, run) is not None:
        raise ConflictError(f"run {run} is promoted already")
    if not events:
        raise ConflictError(f"run {run} is over no motion event: there is nothing to promote")
    cursor.execute(_OTHERS, (events,))
    if others := [row[0] for row in cursor]:
        raise ConflictError(
            f"run {others[0]} is the truth of a part of this window:"
            f" `sightline runs promote live --instead-of {others[0]}` first"
        )
    cursor.execute(_NOT_OVER, (events,))
    if count := _count(cursor):
        raise ConflictError(
            f"the live pass is not through with {count} motion events of this window yet: try later"
        )
    table = sql.Identifier(run_schema(run), "motion_events")
    cursor.execute(sql.SQL(_FEWER).format(table))
    if count := _count(cursor):
        raise ConflictError(
            f"of {count} motion events run {run} has seen fewer frames than the live pass:"
            " Kafka no longer had them"
        )


def _count(cursor: Cursor) -> int:
    (count,) = cursor.fetchone() or (0,)
    return int(count)


def _chosen(promotions: dict[int, str], instead_of: str | None) -> tuple[int, str]:
    if instead_of is None and len(promotions) > 1:
        runs = ", ".join(promotions.values())
        raise ConflictError(f"{runs} are promoted: say --instead-of which")
    for promotion, run in promotions.items():
        if instead_of in (None, run):
            return promotion, run
    raise NotFoundError(f"{f'run {instead_of}' if instead_of else 'no run'} is not promoted")
