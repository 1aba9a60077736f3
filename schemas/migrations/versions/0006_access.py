"""API keys, people who sign in, and their sessions."""

from alembic import op

revision = "0006"
down_revision = "0005"

_ROLES = "('viewer', 'guard', 'enroller', 'operator', 'admin', 'auditor')"

_UP = f"""
-- A key is kept after it was revoked: the audit names it. Of its secret only the hash is here.
CREATE TABLE api_keys (
    key_id       text PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN {_ROLES}),
    secret_hash  bytea NOT NULL CHECK (length(secret_hash) = 32),
    cameras      text[] NOT NULL DEFAULT '{{}}', -- with no camera and no site it is for all
    sites        text[] NOT NULL DEFAULT '{{}}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    last_used_at timestamptz
);

-- People who sign in: with a password of ours, or by a provider who vouches for them.
CREATE TABLE users (
    user_id       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN {_ROLES}),
    password_hash text, -- argon2id, with its parameters
    issuer        text,
    subject       text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL,
    signed_in_at  timestamptz,
    CHECK ((password_hash IS NOT NULL AND issuer IS NULL AND subject IS NULL)
        OR (password_hash IS NULL AND issuer IS NOT NULL AND subject IS NOT NULL)),
    UNIQUE (issuer, subject)
);
CREATE UNIQUE INDEX users_name ON users (name) WHERE issuer IS NULL;

CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY CHECK (length(session_hash) = 32),
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sessions_user ON sessions (user_id);
"""

_DOWN = """
DROP TABLE sessions;
DROP TABLE users;
DROP TABLE api_keys;
"""


def upgrade() -> None:
    op.execute(_UP)


def downgrade() -> None:
    op.execute(_DOWN)
