"""The database's schema, brought to a revision.

Apart from the connections: no service needs Alembic, which takes half a second to import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

import schemas.migrations
from sightline.endpoints import database_url
from sightline.errors import SightlineError
from sightline.settings import Settings


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
