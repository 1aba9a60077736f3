"""The database schema, as Alembic revisions of plain SQL."""
