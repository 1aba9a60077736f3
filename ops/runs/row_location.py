"""Where the rows of a pass are: a promotion exchanges those of the run's motion events."""

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from schemas.topics import LIVE
from sightline.people.identity_corrections import Cursor
from sightline.runtime.errors import ConflictError
from sightline.storage import runs
from sightline.storage.db import Connection, run_schema
from sightline.storage.run_schemas import replaced_schema
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


def finished(db: Connection, name: str) -> Run:
    """A run that has come to its end. Raises NotFoundError and ConflictError."""
    run = runs.get(db, name)
    if run.stage != "done":
        raise ConflictError(f"run {name} is not finished ({run.stage}); see `sightline runs list`")
    return run


def promotion_of(cursor: Cursor, run: str) -> int | None:
    """The promotion in force of a run."""
    cursor.execute(
        "SELECT promotion_id FROM promotions WHERE run = %s AND taken_back_at IS NULL", (run,)
    )
    row = cursor.fetchone()
    return row[0] if row else None


def in_force(cursor: Cursor) -> dict[int, str]:
    """The promotions in force and the runs that they are of, the oldest first."""
    cursor.execute(
        "SELECT promotion_id, run FROM promotions WHERE taken_back_at IS NULL ORDER BY 1"
    )
    return dict(cursor.fetchall())


def common_events(db: Connection, one: str, other: str) -> list[str]:
    """The motion events that two passes are both over. Raises as `finished`."""
    named = [finished(db, name).name for name in (one, other) if name != LIVE]
    if not named or one == other:
        raise ConflictError("give two different passes: two runs, or a run and `live`")
    return sorted(frozenset.intersection(*(runs.events(db, name) for name in named)))


def read(
    db: Connection, run: str, table: str, query: sql.SQL, events: Sequence[str]
) -> list[dict[str, Any]]:
    """What a query tells of a pass, `{}` in it being its rows of a table.

    The query's one parameter are the ids of motion events.
    """
    with db.cursor() as cursor:
        rows = _rows(cursor, run, table)
    with db.cursor(row_factory=dict_row) as found:
        return found.execute(query.format(rows), (list(events),)).fetchall()


def _rows(cursor: Cursor, run: str, table: str) -> sql.Composed:
    """A pass's rows of a table, as a query in parentheses."""
    public = sql.Identifier("public", table)
    if run == LIVE:
        aside = [replaced_schema(promotion) for promotion in in_force(cursor)]
        places = [(public, _LIVE.format(public))]
        places += [(sql.Identifier(schema, table), sql.Composed([_TRUE])) for schema in aside]
    elif (promotion := promotion_of(cursor, run)) is not None:
        places = [(public, _PROMOTED.format(public, sql.Literal(promotion)))]
    else:
        places = [(sql.Identifier(run_schema(run), table), sql.Composed([_TRUE]))]
    columns = _columns(cursor, table)
    parts = [
        sql.SQL("SELECT {} FROM {} WHERE {}").format(columns, place, condition)
        for place, condition in places
    ]
    return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(parts))


def _columns(cursor: Cursor, table: str) -> sql.Composed:
    """The columns by name: a later migration may have put them in another order."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
        (table,),
    )
    return sql.SQL(", ").join(sql.Identifier(row[0]) for row in cursor)
