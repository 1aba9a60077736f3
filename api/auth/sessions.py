"""Sessions of people who have signed in. What is stored of the cookie is its hash."""

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
    """A session that has just begun: the only time that its token can be seen."""

    token: str
    expires_at: datetime


def begin(db: Connection, user: UUID, lasts: timedelta) -> Session:
    """A new session of somebody; those that are over are deleted."""
    token = secrets.token_hex(32)
    db.execute("DELETE FROM sessions WHERE expires_at < now()")
    row = db.execute(
        "INSERT INTO sessions (session_hash, user_id, expires_at) VALUES (%s, %s, now() + %s)"
        " RETURNING expires_at",
        (_hash(token), user, lasts),
    ).fetchone()
    if row is None:
        raise AssertionError("an insert returns its row")
    return Session(token, row[0])


def find(db: Connection, token: str, address: str | None, idle: timedelta) -> Actor | None:
    """Whose session it is, as the user's role is now; None where it is none, or over, or has not
    been used for `idle`.

    It is found by the hash of 256 random bits: how long that takes tells nothing of the token.
    """
    row = db.execute(_FIND, (_hash(token), idle)).fetchone()
    if row is None:
        return None
    user, name, role, rests = row
    if rests:
        db.execute("UPDATE sessions SET seen_at = now() WHERE session_hash = %s", (_hash(token),))
    return Actor("user", user, name, Role(role), address)


def end(db: Connection, token: str) -> None:
    """Sign out."""
    db.execute("DELETE FROM sessions WHERE session_hash = %s", (_hash(token),))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
