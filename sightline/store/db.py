"""PostgreSQL: connections."""

from typing import Any, Self

import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import TupleRow

from schemas.topics import LIVE
from sightline.endpoints import database_url, forget_database_url
from sightline.errors import SightlineError, UnreachableError
from sightline.settings import Settings

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS = 10


class Opened(psycopg.Connection[TupleRow]):
    """A connection that is opened with the password of that moment."""

    @classmethod
    def connect(cls, conninfo: str = "", *, settings: Settings, **options: Any) -> Self:  # type: ignore[override]  # noqa: ARG003 - a pool gives an address
        """Connect to the database of the settings, with psycopg's options.

        Raises psycopg.OperationalError, and SightlineError where there is no password.
        """
        try:
            return super().connect(database_url(settings), **options)
        except psycopg.OperationalError as error:
            had_password = error.pgconn is not None and error.pgconn.used_password
            if not (had_password and forget_database_url(settings)):
                raise
        return super().connect(database_url(settings), **options)  # it was changed meanwhile


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
        connection: Connection = Opened.connect(
            settings=settings,
            autocommit=autocommit,
            connect_timeout=_CONNECT_SECONDS,
            options=f"-c timezone=UTC -c search_path={_search_path(settings.run)}",
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
