"""The audit trail and erasures."""

from alembic import op

revision = "0007"
down_revision = "0006"

_UP = """
-- Who did what with whose data. Each line has the hash of the one before it in its own, and is
-- signed: see sightline/audit. Ids alone, no names of people and no faces.
CREATE TABLE audit (
    line       bigint PRIMARY KEY CHECK (line > 0), -- 1, 2, 3, ... without a gap
    at         timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id   text NOT NULL,
    actor_name text NOT NULL,
    role       text NOT NULL,
    address    text,
    action     text NOT NULL,
    about      jsonb NOT NULL,
    purpose    text,
    outcome    text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    previous   bytea NOT NULL CHECK (length(previous) = 32),
    hash       bytea NOT NULL CHECK (length(hash) = 32),
    key_id     text NOT NULL,
    signature  bytea NOT NULL CHECK (length(signature) = 64)
);
CREATE INDEX audit_time ON audit (at);
CREATE INDEX audit_persons ON audit USING gin ((about -> 'persons'));

CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is only ever added to' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER audit_kept_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();

-- People who were erased. `plan` is what is left to do, and goes with the last of it.
CREATE TABLE erasures (
    erasure_id  uuid PRIMARY KEY,
    global_ids  bigint[] NOT NULL, -- the person's own first, then whoever was merged into them
    employee_id uuid,
    made_by     text NOT NULL,
    purpose     text,
    started_at  timestamptz NOT NULL,
    plan        jsonb,
    report      jsonb,             -- once it is done
    done_at     timestamptz,
    CHECK ((report IS NULL) = (done_at IS NULL))
);

-- Whose records may still be on their way, or come again with a replay: nobody writes them down.
CREATE TABLE erased_persons (
    global_id  bigint PRIMARY KEY,
    erasure_id uuid NOT NULL REFERENCES erasures
);
CREATE TABLE erased_tracks (
    track_uuid uuid PRIMARY KEY,
    erasure_id uuid NOT NULL REFERENCES erasures
);
"""

_DOWN = """
DROP TABLE erased_tracks, erased_persons, erasures, audit;
DROP FUNCTION keep_audit();
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
