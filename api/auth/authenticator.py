"""Authentication of requests by key or session."""

import logging
from datetime import timedelta

from psycopg_pool import ConnectionPool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from api.auth import api_keys, sessions
from api.auth.rate_limits import RateLimits
from api.settings import ApiSettings
from sightline.audit.actor import Actor
from sightline.storage.db import Connection

log = logging.getLogger(__name__)

COOKIE = "sightline_session"

_REFUSAL = "give a valid key (Authorization: Bearer ...), or sign in"
"""The same for every wrong credential: an attacker learns nothing of how near they came."""


class Authenticator:
    """Looks keys and sessions up for every request, so that a revoked one opens nothing more."""

    def __init__(self, settings: ApiSettings, pool: "ConnectionPool[Connection]") -> None:
        """Make an authenticator on the pool of an app."""
        self.limits = RateLimits(settings)
        self._idle = timedelta(minutes=settings.session_idle_minutes)
        self._pool = pool

    def actor_of(self, connection: HTTPConnection) -> Actor:
        """Return the actor whose key or session a request has.

        Raises:
            HTTPException: 401 for wrong credentials, 429 for too many requests.
            psycopg.OperationalError: The database does not answer.
            PoolTimeout: No connection is free in time.
        """
        address = address_of(connection)
        key, session = _key(connection), connection.cookies.get(COOKIE)
        if key is None and session is None:
            raise refused()
        with self._pool.connection() as db:
            actor = (
                api_keys.find_actor(db, key, address)
                if key is not None
                else sessions.find_actor(db, session or "", address, self._idle)
            )
        if actor is None:
            self.limits.count_wrong_key(address)
            log.warning("api: a wrong key or session from %s", address)
            raise refused()
        self.limits.count_request(f"{actor.kind} {actor.id}")
        return actor


def refused(detail: str = _REFUSAL) -> HTTPException:
    """Return the problem 401: with one text, whatever is wrong with the credentials."""
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def address_of(connection: HTTPConnection) -> str:
    """Return the address of a client; that of a proxy's client where the proxy is trusted."""
    return connection.client.host if connection.client else "unknown"


def _key(connection: HTTPConnection) -> str | None:
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and value.strip():
        return value.strip()
    return connection.headers.get("x-api-key")
