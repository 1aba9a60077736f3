"""Makes and deletes the tables that hold the rows of a run."""

from psycopg import sql

from ops.database.grants import apply_grants
from schemas.topics import LIVE
from sightline.storage.db import Cursor, run_schema
from sightline.storage.run_schemas import ROWS, replaced_schema

_TABLES = (
    *ROWS,
    "motion_events",  # the events of the run's window
    "detected_persons",
    "stale_persons",
    "stale_snapshots",
    "stale_objects",
    "sink_offsets",
    "given_up",
)
"""All that sinks write. People, cameras and corrections are those of everybody."""


def create_schema(cursor: Cursor, run: str) -> None:
    """Make the tables of a run, empty; those that are there are left alone."""
    _create(cursor, run_schema(run), _TABLES)


def create_replaced(cursor: Cursor, promotion: int) -> str:
    """Make the tables for the rows that a promotion replaces; the schema's name.

    Only those: whoever has the schema on their path reaches the live ones for everything else.
    """
    schema = replaced_schema(promotion)
    _create(cursor, schema, (*ROWS, "stale_snapshots"))
    return schema


def drop_schema(cursor: Cursor, run: str) -> None:
    """Delete a run's tables; without them nothing happens."""
    if run == LIVE:
        raise ValueError("the live tables are no run's")
    drop(cursor, run_schema(run))


def drop(cursor: Cursor, schema: str) -> None:
    """Delete a schema with all that is in it."""
    cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def _create(cursor: Cursor, schema: str, tables: tuple[str, ...]) -> None:
    cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for table in tables:
        # With defaults, checks, indexes and numbering of its own; without triggers and references.
        cursor.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {} INCLUDING ALL)").format(
                sql.Identifier(schema, table), sql.Identifier("public", table)
            )
        )
    apply_grants(cursor.connection, schema)
