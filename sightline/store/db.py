"""PostgreSQL: connections."""

from dataclasses import dataclass
from typing import Any

import psycopg
from pgvector.psycopg import register_vector
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.rows import TupleRow

from schemas.topics import LIVE
from sightline.endpoints import database_url
from sightline.errors import SightlineError, UnreachableError
from sightline.settings import Settings

Connection = psycopg.Connection[TupleRow]


@dataclass(slots=True)
class _Known:
    """How vectors are read, of the last database that was: psycopg's context of a connection.

    To register them makes classes that are kept for ever, 24 KB for each connection.
    """

    adapters: AdaptersMap = psycopg.adapters
    connection: "psycopg.Connection[Any] | None" = None


known_vectors = _Known()
"""To be given to whoever connects, before `read_vectors`."""


def read_vectors(connection: Connection) -> None:
    """Have vectors read as vectors. Raises psycopg.ProgrammingError where there are none."""
    with connection.transaction():
        row = connection.execute("SELECT coalesce(to_regtype('vector')::oid, 0)").fetchone()
        vector = row[0] if row else 0
        if not (vector and connection.adapters.get_loader(vector, Format.TEXT)):
            register_vector(connection)
            known_vectors.adapters = connection.adapters


_CONNECT_SECONDS = 10


def run_schema(run: str) -> str:
    """The schema that holds a run's rows, in tables that are called as the live ones are."""
    return "public" if run == LIVE else f"run_{run}"


def _search_path(run: str) -> str:
    """A run sees its own rows first, and what it has none of, such as people, as everybody."""
    return "public" if run == LIVE else f"{run_schema(run)},public"


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """A connection with vectors registered.

    Raises UnreachableError when there is no database, SightlineError when it is empty.
    """
    try:
        connection = psycopg.connect(
            database_url(settings),
            autocommit=autocommit,
            connect_timeout=_CONNECT_SECONDS,
            context=known_vectors,
            options=f"-c timezone=UTC -c search_path={_search_path(settings.run)}",
        )
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise UnreachableError(f"the database does not answer: {reason}") from error
    try:
        read_vectors(connection)
    except psycopg.ProgrammingError as error:
        connection.close()
        raise SightlineError("the database is empty: run `sightline db upgrade`") from error
    return connection
