"""PostgreSQL: connections."""

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import TupleRow

from sightline.endpoints import database_url
from sightline.errors import SightlineError, UnreachableError
from sightline.settings import Settings

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS = 10


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """A connection with vectors registered.

    Raises UnreachableError when there is no database, SightlineError when it is empty.
    """
    try:
        connection = psycopg.connect(
            database_url(settings),
            autocommit=autocommit,
            connect_timeout=_CONNECT_SECONDS,
            options="-c timezone=UTC",
        )
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise UnreachableError(f"the database does not answer: {reason}") from error
    try:
        register_vector(connection)
    except psycopg.ProgrammingError as error:
        connection.close()
        raise SightlineError("the database is empty: run `sightline db upgrade`") from error
    return connection
