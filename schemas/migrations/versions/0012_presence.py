"""Rows of tracks that no face has given an identity: their global id is null."""

from alembic import op

revision = "0012"
down_revision = "0011"

_TABLES = ("access_logs", "visitor_logs", "visit_evidence", "snapshot_owners", "snapshots")

# Runs, and rows that a promotion has replaced, have tables of their own.
_EACH = """
DO $$
DECLARE place regclass;
BEGIN
    FOR place IN SELECT pg_class.oid FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = '{table}' AND relkind = 'r'
            AND (nspname = 'public' OR nspname LIKE 'run\\_%' OR nspname LIKE 'replaced\\_%')
    LOOP
        EXECUTE format('{change}', place);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    for table in _TABLES:
        _each(table, "ALTER TABLE %s ALTER COLUMN global_id DROP NOT NULL")
    _each(
        "access_logs",
        "ALTER TABLE %s ADD COLUMN first_seen timestamptz, ADD COLUMN face_attempts integer,"
        " ADD COLUMN refusals jsonb",
    )


def downgrade() -> None:
    _each(
        "access_logs",
        "ALTER TABLE %s DROP COLUMN first_seen, DROP COLUMN face_attempts, DROP COLUMN refusals",
    )
    for table in _TABLES:
        _each(table, "DELETE FROM %s WHERE global_id IS NULL")
        _each(table, "ALTER TABLE %s ALTER COLUMN global_id SET NOT NULL")


def _each(table: str, change: str) -> None:
    op.execute(_EACH.format(table=table, change=change))
