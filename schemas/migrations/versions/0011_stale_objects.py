"""Objects that cannot be deleted are put aside."""

from alembic import op

revision = "0011"
down_revision = "0010"

# Each run has a table of its own, in its schema.
_EACH = """
DO $$
DECLARE place regclass; schema name;
BEGIN
    FOR place, schema IN SELECT pg_class.oid, nspname FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = 'stale_objects' AND relkind = 'r'
            AND (nspname = 'public' OR nspname LIKE 'run\\_%')
    LOOP
        {do}
    END LOOP;
END $$;
"""

_UP = _EACH.format(
    do="""
        EXECUTE format('ALTER TABLE %s ADD COLUMN attempts integer NOT NULL DEFAULT 0,'
            ' ADD COLUMN last_error text', place);
        -- The longest due come first.
        EXECUTE format('CREATE INDEX stale_objects_due ON %s (stale_at)', place);
"""
)

# A run that was begun after the upgrade has its copy of the index under another name.
_DOWN = _EACH.format(
    do="""
        EXECUTE format('DROP INDEX IF EXISTS %I.stale_objects_due', schema);
        EXECUTE format('ALTER TABLE %s DROP COLUMN attempts, DROP COLUMN last_error', place);
"""
)


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
