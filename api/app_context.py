"""The clients and services that all routes share, made once for each app."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

import anyio
from fastapi import Depends, Request
from psycopg_pool import ConnectionPool

from api import health_checks
from api.auth.authenticator import Authenticator
from api.crop_decisions import CropDecisions
from api.model_pack import SharedModelPack
from api.settings import ApiSettings
from sightline.runtime.connection_urls import database_url
from sightline.runtime.display_zone import DisplayZone
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, SettingsConnection
from sightline.storage.objects import ObjectStore, open_store
from sightline.storage.outbox import deliver

log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 10
_CONNECTION_TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class AppContext:
    """Database, object store, models, decisions on crops, and authentication."""

    settings: Settings
    pool: "ConnectionPool[Connection]"
    objects: ObjectStore
    models: SharedModelPack
    crops: CropDecisions
    authenticator: Authenticator

    @classmethod
    def of(cls, settings: Settings) -> "AppContext":
        """Return a context in which nothing is connected and no model loaded yet."""
        pool = _pool(settings)
        return cls(
            settings,
            pool,
            open_store(settings),
            SharedModelPack(settings),
            CropDecisions(settings),
            Authenticator(ApiSettings.of(settings), pool),
        )

    @property
    def api(self) -> ApiSettings:
        """The API's own settings."""
        return ApiSettings.of(self.settings)

    @property
    def zone(self) -> DisplayZone:
        """The zone of times in requests that state no offset."""
        return DisplayZone.of(self.settings)

    def moment(self, requested: datetime | None) -> datetime | None:
        """Return a time of a request: in the zone of the settings, unless it states an offset."""
        return None if requested is None else self.zone.aware(requested)

    @contextmanager
    def db(self) -> Iterator[Connection]:
        """Lend a connection; its transaction is committed at the end, or undone on failure.

        Raises:
            psycopg.OperationalError: The database does not answer.
            PoolTimeout: No connection is free in time.
        """
        with self.pool.connection() as connection:
            yield connection

    def deliver(self) -> None:
        """Publish what was committed, after the answer; else the service `outbox` does it."""
        try:
            deliver(self.settings)
        except InfrastructureError as error:
            log.warning("kept, to be published by the outbox service: %s", error)

    @asynccontextmanager
    async def running(self, stop: Stop) -> AsyncIterator[None]:
        """Run the background tasks while the app serves, and drain before the deadline."""
        self.pool.open(wait=False)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.crops.end_idle)
                tasks.start_soon(health_checks.watch, self.pool, stop)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self.crops.close(stop.remaining_seconds())
            self.pool.close(stop.remaining_seconds())


def _pool(settings: Settings) -> "ConnectionPool[Connection]":
    database_url(settings)  # a missing one is an error at once
    return ConnectionPool(
        connection_class=SettingsConnection,
        kwargs={"settings": settings, "options": "-c timezone=UTC"},
        min_size=1,
        max_size=_MAX_CONNECTIONS,
        timeout=_CONNECTION_TIMEOUT_SECONDS,
        configure=_configure,
        # A restart of the database cuts connections that lie in the pool.
        check=ConnectionPool.check_connection,
        open=False,
        name="api",
    )


def _configure(connection: Connection) -> None:
    cast(SettingsConnection, connection).prepare()
    connection.commit()


def _context(request: Request) -> AppContext:
    return cast(AppContext, request.app.state.context)


Context = Annotated[AppContext, Depends(_context)]
"""The type of a route's parameter that takes the context."""
