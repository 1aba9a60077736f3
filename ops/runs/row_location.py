"""Location of a run's rows: a promotion swaps those of the run's motion events."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from schemas.naming import replaced_schema, run_schema
from schemas.topics import LIVE
from sightline.runtime.errors import ConflictError
from sightline.storage import runs
from sightline.storage.db import Connection, Cursor
from sightline.storage.runs import Run

_TRUE = sql.SQL("true")
_PROMOTED = sql.SQL(
    "EXISTS (SELECT FROM public.promoted_events event WHERE event.event_id = {}.motion_event_id"
    " AND event.promotion_id = {})"
)
_LIVE = sql.SQL(
    "NOT EXISTS (SELECT FROM public.promoted_events event"
    " WHERE event.event_id = {}.motion_event_id)"
)


def get_finished_run(db: Connection, name: str) -> Run:
    """Return a finished run. Raises NotFoundError and ConflictError."""
    run = runs.get(db, name)
    if run.stage != "done":
        raise ConflictError(f"run {name} is not finished ({run.stage}); see `sightline runs list`")
    return run


def promotion_of(cursor: Cursor, run: str) -> int | None:
    """Return the id of a run's promotion in force, if there is one."""
    query = "SELECT promotion_id FROM promotions WHERE run = %s AND taken_back_at IS NULL"
    row = cursor.execute(query, (run,)).fetchone()
    return row[0] if row else None


def promotions_in_force(cursor: Cursor) -> dict[int, str]:
    """Return the promotions in force with their runs, the oldest first."""
    query = "SELECT promotion_id, run FROM promotions WHERE taken_back_at IS NULL ORDER BY 1"
    return dict(cursor.execute(query).fetchall())


def common_events(db: Connection, run: str, other_run: str) -> list[str]:
    """Return the ids of motion events that two runs share. Raises as `get_finished_run`."""
    names = [get_finished_run(db, name).name for name in (run, other_run) if name != LIVE]
    if not names or run == other_run:
        raise ConflictError("give two different passes: two runs, or a run and `live`")
    return sorted(frozenset.intersection(*(runs.events(db, name) for name in names)))


def read(
    db: Connection, run: str, table: str, query: sql.SQL, events: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of a query on a run's table; `{}` in the query stands for the table.

    The query's one parameter is a list of ids of motion events.
    """
    with db.cursor() as cursor:
        rows = _rows(cursor, run, table)
    with db.cursor(row_factory=dict_row) as dict_cursor:
        return dict_cursor.execute(query.format(rows), (list(events),)).fetchall()


def _rows(cursor: Cursor, run: str, table: str) -> sql.Composed:
    """Return a run's rows of a table, as a query in parentheses."""
    public = sql.Identifier("public", table)
    if run == LIVE:
        replaced = [replaced_schema(promotion) for promotion in promotions_in_force(cursor)]
        locations = [(public, _LIVE.format(public))]
        locations += [(sql.Identifier(schema, table), sql.Composed([_TRUE])) for schema in replaced]
    elif (promotion := promotion_of(cursor, run)) is not None:
        locations = [(public, _PROMOTED.format(public, sql.Literal(promotion)))]
    else:
        locations = [(sql.Identifier(run_schema(run), table), sql.Composed([_TRUE]))]
    columns = _columns(cursor, table)
    parts = [
        sql.SQL("SELECT {} FROM {} WHERE {}").format(columns, location, condition)
        for location, condition in locations
    ]
    return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(parts))


def _columns(cursor: Cursor, table: str) -> sql.Composed:
    """Return the columns by name: a later migration may have changed their order."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        (table,),
    )
    return sql.SQL(", ").join(sql.Identifier(row[0]) for row in cursor)
