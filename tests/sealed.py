"""An installation beside the tests' own in which everything is sealed: same broker, same server."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from pydantic import SecretStr

from sightline.runtime.connection_urls import database_url, kafka_servers
from sightline.runtime.settings import Settings
from sightline.runtime.settings.groups import EncryptionSettings
from sightline.storage.db import connect
from sightline.storage.encryption import new_key

PLAIN_AND_SEALED = pytest.mark.parametrize("stack", ["plain", "sealed"], indirect=True)
"""Pass with faces and pictures as they are, and sealed."""


def with_keys(settings: Settings, *keys: str, required: bool = False) -> Settings:
    """The same with these keys, or none."""
    given = SecretStr(",".join(keys)) if keys else None
    return settings.model_copy(
        update={"encryption": EncryptionSettings(keys=given, required=required)}
    )


@contextmanager
def beside(stack: Settings, *keys: str) -> Iterator[Settings]:
    """A home with a database and objects of its own; programs find it by its config.yaml."""
    folder, name = Path(tempfile.mkdtemp(prefix="sightline-sealed-")), f"beside_{uuid4().hex[:8]}"
    url = _beside(database_url(stack), name)
    given: dict[str, Any] = {
        "database_url": url, "kafka_bootstrap_servers": kafka_servers(stack)
    }  # fmt: skip
    settings = Settings(home=folder, **given)
    if keys:
        given["encryption"] = {"keys": ",".join(keys)}
    (folder / "config.yaml").write_text(yaml.safe_dump(given))
    template = _migrated(database_url(stack))
    # A connection for each: in between, a test may stop the database.
    with connect(stack, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    try:
        yield with_keys(settings, *keys)
    finally:
        with connect(stack, autocommit=True) as db:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        shutil.rmtree(folder)


@cache
def _migrated(url: str) -> str:
    """The name of an empty database on the same server with all tables, to be copied."""
    from ops.database.migrate import upgrade  # takes long to load

    name = "migrated"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}".encode())
    upgrade(Settings(home=Path("/nonexistent"), database_url=SecretStr(_beside(url, name))))
    return name


def _beside(url: str, name: str) -> str:
    """The address of another database on the same server."""
    return f"{url.rsplit('/', 1)[0]}/{name}"


@contextmanager
def all_sealed(stack: Settings) -> Iterator[Settings]:
    """The same, with a key."""
    with beside(stack, new_key()) as settings:
        yield settings
