"""Who comes: by the key or the session that a request brings."""

import logging
from datetime import timedelta

from psycopg_pool import ConnectionPool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from api.auth import api_keys, sessions
from api.auth.limits import Limits
from api.settings import ApiSettings
from sightline.audit.actor import Actor
from sightline.storage.db import Connection

log = logging.getLogger(__name__)

COOKIE = "sightline_session"

_REFUSAL = "give a valid key (Authorization: Bearer ...), or sign in"
"""Whatever is wrong with what was given: who tries learns nothing of how near they came."""


class Door:
    """Looks keys and sessions up for every request, so that a revoked one opens nothing more."""

    def __init__(self, settings: ApiSettings, pool: "ConnectionPool[Connection]") -> None:
        self.limits = Limits(settings)
        self._idle = timedelta(minutes=settings.session_idle_minutes)
        self._pool = pool

    def who(self, connection: HTTPConnection) -> Actor:
        """Who asks. Raises a problem 401 or 429, and what a database raises that is away."""
        address = address_of(connection)
        key, session = _key(connection), connection.cookies.get(COOKIE)
        if key is None and session is None:
            raise refused()
        with self._pool.connection() as db:
            actor = (
                api_keys.find(db, key, address)
                if key is not None
                else sessions.find(db, session or "", address, self._idle)
            )
        if actor is None:
            self.limits.wrong_key(address)
            log.warning("api: a wrong key or session from %s", address)
            raise refused()
        self.limits.request(f"{actor.kind} {actor.id}")
        return actor


def refused(detail: str = _REFUSAL) -> HTTPException:
    """The answer to whoever is not let in; it says one thing, whatever was wrong."""
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from; through a proxy only where the settings trust it."""
    return connection.client.host if connection.client else "unknown"


def _key(connection: HTTPConnection) -> str | None:
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.headers.get("x-api-key")
