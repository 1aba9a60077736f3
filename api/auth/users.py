"""Users of the API: they sign in with a password, or by an OpenID Connect provider."""

from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation

from api.auth import passwords
from sightline.audit.actor import Actor
from sightline.audit.roles import Role
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.storage.db import Connection, dict_rows

_LISTED = """
SELECT name, role, coalesce(issuer, 'password') AS signs_in_by, created_at, created_by,
    signed_in_at,
    (SELECT count(*) FROM sessions WHERE user_id = users.user_id AND expires_at > now())
    AS sessions
FROM users ORDER BY name, issuer
"""

# The provider gives name and role anew at each sign-in.
_UPSERT = """
INSERT INTO users (issuer, subject, name, role, created_by, signed_in_at)
VALUES (%s, %s, %s, %s, 'provider', now())
ON CONFLICT (issuer, subject)
DO UPDATE SET name = EXCLUDED.name, role = EXCLUDED.role, signed_in_at = now()
RETURNING user_id
"""


def add(db: Connection, name: str, role: Role, password: str, made_by: Actor) -> None:
    """Add a user with a password. Raises ConflictError and SightlineError."""
    if not name.strip():
        raise SightlineError("give a name to sign in with")
    try:
        db.execute(
            "INSERT INTO users (name, role, password_hash, created_by) VALUES (%s, %s, %s, %s)",
            (name.strip(), role, passwords.hash_password(password), str(made_by)),
        )
    except UniqueViolation:
        raise ConflictError(f"there is a user {name} already") from None


def list_users(db: Connection) -> list[dict[str, Any]]:
    """Return all users, those of a provider included."""
    return dict_rows(db, _LISTED)


def set_password(db: Connection, name: str, password: str) -> None:
    """Set a user's password, and end their sessions.

    Raises NotFoundError, SightlineError.
    """
    row = db.execute(
        "UPDATE users SET password_hash = %s WHERE name = %s AND issuer IS NULL RETURNING user_id",
        (passwords.hash_password(password), name),
    ).fetchone()
    if row is None:
        raise _unknown(name)
    db.execute("DELETE FROM sessions WHERE user_id = %s", row)


def remove(db: Connection, name: str) -> None:
    """Remove a user and their sessions. Raises NotFoundError.

    A provider's user returns at the next sign-in, unless the provider withdraws the role.
    """
    if not db.execute("DELETE FROM users WHERE name = %s", (name,)).rowcount:
        raise _unknown(name)


def sign_in(db: Connection, name: str, password: str) -> UUID | None:
    """Return the user of a name and a password; None if either is wrong."""
    row = db.execute(
        "SELECT user_id, password_hash FROM users WHERE name = %s AND issuer IS NULL", (name,)
    ).fetchone()
    user, stored = row or (None, None)
    if not passwords.verify_password(stored, password) or user is None or stored is None:
        return None
    if passwords.needs_rehash(stored):
        stored = passwords.hash_password(password)
    db.execute(
        "UPDATE users SET signed_in_at = now(), password_hash = %s WHERE user_id = %s",
        (stored, user),
    )
    return UUID(str(user))


def upsert_provider_user(db: Connection, issuer: str, subject: str, name: str, role: Role) -> UUID:
    """Add or update a provider's user, with the role derived from its claim; return the user."""
    [(user_id,)] = db.execute(_UPSERT, (issuer, subject, name, role))
    return UUID(str(user_id))


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no user {name}; see `sightline users list`")
