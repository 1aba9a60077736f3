"""PostgreSQL: connections and the schema's revisions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from pgvector.psycopg import register_vector
from psycopg.rows import TupleRow

import schemas.migrations
from sightline.endpoints import database_url
from sightline.errors import SightlineError
from sightline.settings import Settings

Connection = psycopg.Connection[TupleRow]

_CONNECT_SECONDS = 10


def connect(settings: Settings, *, autocommit: bool = False) -> Connection:
    """A connection with vectors registered. Raises SightlineError when there is no database."""
    try:
        connection = psycopg.connect(
            database_url(settings),
            autocommit=autocommit,
            connect_timeout=_CONNECT_SECONDS,
            options="-c timezone=UTC",
        )
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise SightlineError(f"the database does not answer: {reason}") from error
    try:
        register_vector(connection)
    except psycopg.ProgrammingError as error:
        connection.close()
        raise SightlineError("the database is empty: run `sightline db upgrade`") from error
    return connection


@contextmanager
def _alembic(settings: Settings) -> Iterator[Config]:
    url = database_url(settings).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(schemas.migrations.__path__[0])))
            config.attributes["connection"] = connection
            yield config
            connection.commit()
    except sqlalchemy.exc.OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise SightlineError(f"the database does not answer: {reason}") from error
    finally:
        engine.dispose()


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Bring the schema to a revision; does nothing when it is there."""
    with _alembic(settings) as config:
        command.upgrade(config, revision)


def downgrade(settings: Settings, revision: str) -> None:
    """Take the schema back to a revision; "base" empties the database."""
    with _alembic(settings) as config:
        command.downgrade(config, revision)
