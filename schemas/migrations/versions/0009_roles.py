"""A role for each service that works with the database.

Roles are of the whole server, and cannot log in: who runs it gives them passwords. What they may
do is granted after every upgrade (`ops/database/grants.py`).
"""

from alembic import op

revision = "0009"
down_revision = "0008"

_EACH = """
DO $$
DECLARE
    service text;
    role text;
BEGIN
    FOREACH service IN ARRAY ARRAY['cameras', 'access-log', 'visitor-log', 'snapshots',
        'person-state', 'retention', 'outbox', 'api']
    LOOP
        role := 'sightline-' || service;
        BEGIN
            {do}
        EXCEPTION
            WHEN {unless} THEN NULL;
        END;
    END LOOP;
END $$;
"""

# Other databases of the server may have made them, and whoever upgrades may not be allowed to:
# then everybody works as one user, as before.
_UP = _EACH.format(
    do="EXECUTE format('CREATE ROLE %I NOLOGIN', role);",
    unless="duplicate_object OR unique_violation OR insufficient_privilege",
)

# Where another database of the server still has them they stay.
_DOWN = _EACH.format(
    do="EXECUTE format('DROP OWNED BY %I; DROP ROLE %I', role, role);",
    unless="undefined_object OR dependent_objects_still_exist OR insufficient_privilege",
)


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
