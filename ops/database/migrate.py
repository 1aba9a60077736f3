"""Migrations of the database's schema.

Kept apart from the connections: no service needs Alembic, which takes half a second to import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import schemas.migrations
from ops.database.grants import apply_grants
from sightline.runtime.errors import SightlineError, first_line
from sightline.runtime.settings import Settings
from sightline.storage.db import SettingsConnection
from sightline.storage.vector_indexes import ensure_all


@contextmanager
def _alembic(settings: Settings) -> Iterator[Config]:
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: SettingsConnection.connect(settings=settings),
        poolclass=sqlalchemy.pool.NullPool,
    )
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(Path(schemas.migrations.__path__[0])))
            config.attributes["connection"] = connection
            yield config
            connection.commit()
    except sqlalchemy.exc.OperationalError as error:
        reason = first_line(error.orig or error)
        raise SightlineError(f"the database does not answer: {reason}") from error
    finally:
        engine.dispose()


def upgrade(settings: Settings, revision: str = "head") -> None:
    """Migrate the schema up to a revision; at the head grant rights and create vector indexes."""
    with _alembic(settings) as config:
        command.upgrade(config, revision)
        if revision == "head":
            connection = config.attributes["connection"].connection.driver_connection
            apply_grants(connection)
            connection.commit()
    if revision == "head":
        with SettingsConnection.connect(settings=settings, autocommit=True) as owner:
            ensure_all(owner)


def downgrade(settings: Settings, revision: str) -> None:
    """Migrate the schema down to a revision; "base" empties the database."""
    with _alembic(settings) as config:
        command.downgrade(config, revision)


def revisions(settings: Settings) -> tuple[str | None, str | None]:
    """Return the schema's revision, None for an empty database, and the newest revision."""
    with _alembic(settings) as config:
        newest = ScriptDirectory.from_config(config).get_current_head()
        current = MigrationContext.configure(config.attributes["connection"])
        return current.get_current_revision(), newest
