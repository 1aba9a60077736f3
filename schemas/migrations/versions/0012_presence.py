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


# What a camera shows at one place without ever moving, for `sightline camera list`.
_FIXTURES = """
CREATE TABLE camera_fixtures (
    camera_id    text NOT NULL,
    since        timestamptz NOT NULL,
    x1 real NOT NULL, y1 real NOT NULL, x2 real NOT NULL, y2 real NOT NULL, -- of the picture
    events       integer NOT NULL,
    is_picture   boolean NOT NULL,
    last_seen    timestamptz NOT NULL,
    PRIMARY KEY (camera_id, since)
)
"""

# By how much the clock of each camera's host is behind, as its frames arrive.
_CLOCKS = """
CREATE TABLE camera_clocks (
    camera_id    text PRIMARY KEY,
    behind       interval NOT NULL,
    updated_at   timestamptz NOT NULL
)
"""


def upgrade() -> None:
    op.execute(_FIXTURES)
    op.execute(_CLOCKS)
    for table in _TABLES:
        _each(table, "ALTER TABLE %s ALTER COLUMN global_id DROP NOT NULL")
    _each(
        "access_logs",
        "ALTER TABLE %s ADD COLUMN first_seen timestamptz, ADD COLUMN face_attempts integer,"
        " ADD COLUMN refusals jsonb",
    )
    _each("visit_evidence", "ALTER TABLE %s ADD COLUMN first_seen timestamptz")


def downgrade() -> None:
    _each("visit_evidence", "ALTER TABLE %s DROP COLUMN first_seen")
    op.execute("DROP TABLE camera_fixtures, camera_clocks")
    _each(
        "access_logs",
        "ALTER TABLE %s DROP COLUMN first_seen, DROP COLUMN face_attempts, DROP COLUMN refusals",
    )
    for table in _TABLES:
        _each(table, "DELETE FROM %s WHERE global_id IS NULL")
        _each(table, "ALTER TABLE %s ALTER COLUMN global_id SET NOT NULL")


def _each(table: str, change: str) -> None:
    op.execute(_EACH.format(table=table, change=change))
