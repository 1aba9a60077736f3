"""The database as a service has it: with the rights of its role and no others."""

from urllib.parse import urlsplit, urlunsplit

from psycopg import sql
from pydantic import SecretStr

from sightline.endpoints import database_url
from sightline.security.rights import user
from sightline.settings import Settings
from sightline.store.db import connect

_PASSWORD = "only-here"


def as_service(settings: Settings, service: str) -> Settings:
    """The same installation for a service by its name in `RIGHTS`."""
    role = user(service)
    login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
        sql.Identifier(role), sql.Literal(_PASSWORD)
    )
    with connect(settings, autocommit=True) as db:
        db.execute(login)
    url = urlsplit(database_url(settings))
    url = url._replace(netloc=f"{role}:{_PASSWORD}@{url.hostname}:{url.port}")
    return settings.model_copy(update={"database_url": SecretStr(urlunsplit(url))})
