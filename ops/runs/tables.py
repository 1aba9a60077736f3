"""Creates and drops the tables that hold the rows of a run."""

from psycopg import sql

from ops.database.grants import apply_grants
from schemas.naming import replaced_schema, run_schema
from schemas.topics import LIVE
from sightline.storage.db import Cursor
from sightline.storage.run_schemas import ROWS

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
"""All tables that sinks write. Employees, cameras and corrections belong to no run."""


def create_schema(cursor: Cursor, run: str) -> None:
    """Create the tables of a run, empty; existing ones are kept."""
    _create(cursor, run_schema(run), _TABLES)


def create_replaced(cursor: Cursor, promotion: int) -> str:
    """Create the tables for the rows that a promotion replaces; return the schema's name.

    No other table is created: a search path with this schema reaches the live ones for the rest.
    """
    schema = replaced_schema(promotion)
    _create(cursor, schema, (*ROWS, "stale_snapshots"))
    return schema


def drop_schema(cursor: Cursor, run: str) -> None:
    """Drop a run's schema, if it exists."""
    if run == LIVE:
        raise ValueError("the live tables are no run's")
    drop_any_schema(cursor, run_schema(run))


def drop_any_schema(cursor: Cursor, schema: str) -> None:
    """Drop a schema with all tables."""
    cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def _create(cursor: Cursor, schema: str, tables: tuple[str, ...]) -> None:
    cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    for table in tables:
        # The copy has its own defaults, checks, indexes and identities, no triggers or references.
        cursor.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {} INCLUDING ALL)").format(
                sql.Identifier(schema, table), sql.Identifier("public", table)
            )
        )
    apply_grants(cursor.connection, schema)
