"""Sessions of users. The hash of the cookie's token is stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sightline.audit.actor import Actor
from sightline.audit.roles import Role
from sightline.storage.db import Connection

_FIND = """
SELECT user_id::text, name, role, seen_at < now() - interval '1 minute'
FROM sessions JOIN users USING (user_id)
WHERE session_hash = %s AND expires_at > now() AND seen_at > now() - %s
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A new session: the only time that its token is visible."""

    token: str
    expires_at: datetime


def create_session(db: Connection, user: UUID, lasts: timedelta) -> Session:
    """Create a session of a user, and delete expired sessions."""
    token = secrets.token_hex(32)
    db.execute("DELETE FROM sessions WHERE expires_at < now()")
    [(expires_at,)] = db.execute(
        "INSERT INTO sessions (session_hash, user_id, expires_at) VALUES (%s, %s, now() + %s)"
        " RETURNING expires_at",
        (_hash(token), user, lasts),
    )
    return Session(token, expires_at)


def find_actor(db: Connection, token: str, address: str | None, idle: timedelta) -> Actor | None:
    """Return the actor of a session with the user's present role; None for an invalid one.

    A session ends at its expiry, or when it has not been used for `idle`. It is found by the hash
    of 256 random bits, so that the time of the search tells nothing of the token.
    """
    row = db.execute(_FIND, (_hash(token), idle)).fetchone()
    if row is None:
        return None
    user, name, role, rests = row
    if rests:
        db.execute("UPDATE sessions SET seen_at = now() WHERE session_hash = %s", (_hash(token),))
    return Actor("user", user, name, Role(role), address)


def delete_session(db: Connection, token: str) -> None:
    """End a session."""
    db.execute("DELETE FROM sessions WHERE session_hash = %s", (_hash(token),))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
