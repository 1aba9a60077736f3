"""Connections to PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.abc import Params
from psycopg.adapt import AdaptersMap
from psycopg.rows import TupleRow, dict_row

from schemas.naming import LIVE_SCHEMA, ROW_SCHEMA_PATTERNS, run_schema
from schemas.topics import LIVE
from sightline.runtime.connection_urls import database_url, refresh_database_url
from sightline.runtime.errors import SightlineError, UnreachableError, first_line
from sightline.runtime.settings import Settings
from sightline.storage import encryption_keys
from sightline.storage.encryption import Encryption

Connection = psycopg.Connection[TupleRow]
Cursor = psycopg.Cursor[TupleRow]
Row = dict[str, Any]


_adapters: dict[int, AdaptersMap] = {}
"""Adapters of pgvector's types, by the type's OID, which differs between databases.

Each registration creates classes of 24 KB that are never freed, so there is one for each OID.
"""

_ROW_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE ANY(%s) ORDER BY nspname"

_CONNECT_SECONDS = 10


class SettingsConnection(psycopg.Connection[TupleRow]):
    """A connection that is opened with the present password, and encrypts what it stores."""

    settings: Settings
    encryption: Encryption
    _vectors: AdaptersMap | None = None

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of the connection, those of vectors included once it is prepared."""
        return self._vectors or super().adapters

    @classmethod
    def connect(cls, conninfo: str = "", *, settings: Settings, **options: Any) -> Self:  # type: ignore[override]  # noqa: ARG003 - a pool passes an address
        """Connect to the settings' database, with psycopg's options.

        Raises psycopg.OperationalError, and SightlineError without a password.
        """
        connection = cls._connect(settings, options)
        connection.settings = settings
        connection.encryption = Encryption(settings)
        return connection

    @classmethod
    def _connect(cls, settings: Settings, options: dict[str, Any]) -> Self:
        try:
            return super().connect(database_url(settings), **options)
        except psycopg.OperationalError as error:
            had_password = error.pgconn is not None and error.pgconn.used_password
            if not (had_password and refresh_database_url(settings)):
                raise
        return super().connect(database_url(settings), **options)  # with the changed password

    def prepare(self) -> None:
        """Register pgvector's types, and check that all encryption keys are set.

        Raises psycopg.ProgrammingError for an empty database or an older schema, and
        MissingKeyError.
        """
        with self.transaction():
            row = self.execute("SELECT coalesce(to_regtype('vector')::oid, 0)").fetchone()
        vector = int(row[0]) if row else 0
        if vector not in _adapters:
            register_vector(self)
            _adapters[vector] = self.adapters
        self._vectors = _adapters[vector]
        encryption_keys.check(self, self.encryption.key_ring())


def encryption_of(cursor: psycopg.Cursor[Any]) -> Encryption:
    """Return the encryption of a cursor's connection."""
    return _opened(cursor).encryption


def settings_of(cursor: psycopg.Cursor[Any]) -> Settings:
    """Return the settings that a cursor's connection was opened with."""
    return _opened(cursor).settings


def _opened(cursor: psycopg.Cursor[Any]) -> SettingsConnection:
    connection = cursor.connection
    if not isinstance(connection, SettingsConnection):
        raise TypeError("this connection was not opened by `connect` and has no settings")
    return connection


def dict_rows(
    db: Connection, query: str | sql.SQL | sql.Composed, parameters: Params | None = None
) -> list[Row]:
    """Return the rows of a query by the names of their columns."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def set_excluded(columns: str) -> str:
    """Return the assignment of an upsert that replaces columns, such as `a, b`."""
    values = ", ".join(f"excluded.{column.strip()}" for column in columns.split(","))
    return f"({columns}) = ({values})"


def row_schemas(db: "psycopg.Connection[Any]") -> list[str]:
    """Return the live schema, those of runs, and those of rows that promotions replaced."""
    return [name for (name,) in db.execute(_ROW_SCHEMAS, (list(ROW_SCHEMA_PATTERNS),)).fetchall()]


def _search_path(run: str) -> str:
    """Return the search path of a run: its own tables first, then the live ones."""
    return LIVE_SCHEMA if run == LIVE else f"{run_schema(run)},{LIVE_SCHEMA}"


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """Return a prepared connection in UTC, with the search path of the settings' run.

    Raises UnreachableError when the database does not answer, MissingKeyError, an
    UnreachableError, when rows are encrypted with a key that is not set, and SightlineError for
    an empty database.
    """
    try:
        connection = SettingsConnection.connect(
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
    except psycopg.OperationalError as error:  # also of a server that stops meanwhile
        raise UnreachableError(f"the database does not answer: {first_line(error)}") from error
    except psycopg.ProgrammingError as error:
        reason = "of an older version" if "sealing_keys" in str(error) else "empty"
        raise SightlineError(f"the database is {reason}: run `sightline db upgrade`") from error
    return connection


@contextmanager
def translated_failures() -> Iterator[None]:
    """Turn psycopg's OperationalError into an UnreachableError while inside."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise UnreachableError(f"the database failed: {first_line(error)}") from error
