"""The database as a service has it: with the rights of its role and no others."""

from functools import cache
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from pydantic import SecretStr

from ops.rights.registry import RIGHTS
from schemas.naming import principal
from sightline.runtime.connection_urls import database_url
from sightline.runtime.settings import Settings

_PASSWORD = "only-here"


def as_service(settings: Settings, service: str) -> Settings:
    """The same installation for a service by its name in `RIGHTS`."""
    url = SecretStr(rights_of(settings, service)["DATABASE_URL"])
    return settings.model_copy(update={"database_url": url})


def rights_of(settings: Settings, service: str) -> dict[str, str]:
    """The environment of a process of the service; one without any rights there has no role."""
    if not RIGHTS[service].tables:
        return {}
    return {"DATABASE_URL": _signed_in(database_url(settings), principal(service))}


@cache
def _signed_in(url: str, role: str) -> str:
    login = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
        sql.Identifier(role), sql.Literal(_PASSWORD)
    )
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET scram_iterations = 1")  # as in conftest.py: it is proven very often
        db.execute(login)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:{_PASSWORD}@{parts.hostname}:{parts.port}"))
