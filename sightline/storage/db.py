"""PostgreSQL: connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from pgvector.psycopg import register_vector
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow

from schemas.topics import LIVE
from sightline.runtime.connection_urls import database_url, forget_database_url
from sightline.runtime.errors import SightlineError, UnreachableError, first_line
from sightline.runtime.settings import Settings
from sightline.storage import encryption_keys
from sightline.storage.encryption import Sealing

Connection = psycopg.Connection[TupleRow]
Cursor = psycopg.Cursor[TupleRow]


_adapters: dict[int, AdaptersMap] = {}
"""How vectors are read and written, by the number of their type, which each database has its own.

To register them makes classes that are kept for ever, 24 KB each time: once is enough.
"""

_ROW_SCHEMAS = r"""
SELECT nspname FROM pg_namespace
WHERE nspname = 'public' OR nspname LIKE 'run\_%' OR nspname LIKE 'replaced\_%'
ORDER BY nspname
"""

_CONNECT_SECONDS = 10


class Opened(psycopg.Connection[TupleRow]):
    """A connection that is opened with the password of that moment, and seals what is sealed."""

    sealing: Sealing
    _vectors: AdaptersMap | None = None

    @property
    def adapters(self) -> AdaptersMap:
        """What is sent and read how, vectors among it once the connection is prepared."""
        return self._vectors or super().adapters

    @classmethod
    def connect(cls, conninfo: str = "", *, settings: Settings, **options: Any) -> Self:  # type: ignore[override]  # noqa: ARG003 - a pool gives an address
        """Connect to the database of the settings, with psycopg's options.

        Raises psycopg.OperationalError, and SightlineError where there is no password.
        """
        connection = cls._connect(settings, options)
        connection.sealing = Sealing(settings)
        return connection

    @classmethod
    def _connect(cls, settings: Settings, options: dict[str, Any]) -> Self:
        try:
            return super().connect(database_url(settings), **options)
        except psycopg.OperationalError as error:
            had_password = error.pgconn is not None and error.pgconn.used_password
            if not (had_password and forget_database_url(settings)):
                raise
        return super().connect(database_url(settings), **options)  # it was changed meanwhile

    def prepare(self) -> None:
        """Read vectors as vectors, and see that all keys are there.

        Raises psycopg.ProgrammingError for a database that is empty or of before, and
        MissingKeyError.
        """
        with self.transaction():
            row = self.execute("SELECT coalesce(to_regtype('vector')::oid, 0)").fetchone()
        vector = int(row[0]) if row else 0
        if vector not in _adapters:
            register_vector(self)
            _adapters[vector] = self.adapters
        self._vectors = _adapters[vector]
        encryption_keys.check(self, self.sealing.ring())


def sealing_of(cursor: psycopg.Cursor[Any]) -> Sealing:
    """How what is written and read through a cursor is sealed."""
    connection = cursor.connection
    if not isinstance(connection, Opened):
        raise TypeError("this connection does not know what is sealed")
    return connection.sealing


def run_schema(run: str) -> str:
    """The schema that holds a run's rows, in tables that are called as the live ones are."""
    return "public" if run == LIVE else f"run_{run}"


def row_schemas(db: "psycopg.Connection[Any]") -> list[str]:
    """The live schema, those of runs, and those of what promoted runs have replaced."""
    return [name for (name,) in db.execute(_ROW_SCHEMAS).fetchall()]


def _search_path(run: str) -> str:
    """A run sees its own rows first, and what it has none of, such as people, as everybody."""
    return "public" if run == LIVE else f"{run_schema(run)},public"


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """A connection with vectors registered.

    Raises UnreachableError when there is no database, and MissingKeyError, which is one, where
    what is there is sealed with a key that is not set; SightlineError when it is empty.
    """
    try:
        connection = Opened.connect(
            settings=settings,
            autocommit=autocommit,
            connect_timeout=_CONNECT_SECONDS,
            options=f"-c timezone=UTC -c search_path={_search_path(settings.run)}",
        )
        try:
            connection.prepare()
        except BaseException:
            connection.close()
            raise
    except psycopg.OperationalError as error:  # also of a server that goes away meanwhile
        raise UnreachableError(f"the database does not answer: {first_line(error)}") from error
    except psycopg.ProgrammingError as error:
        reason = "of an older version" if "sealing_keys" in str(error) else "empty"
        raise SightlineError(f"the database is {reason}: run `sightline db upgrade`") from error
    return connection


@contextmanager
def failure_told() -> Iterator[None]:
    """While inside, a database that fails is an UnreachableError; see `connect` for opening one."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise UnreachableError(f"the database failed: {first_line(error)}") from error
