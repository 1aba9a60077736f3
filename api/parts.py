"""What all routes stand on, made once for each app."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import anyio
from fastapi import Depends, Request
from psycopg_pool import ConnectionPool

from api import health
from api.auth.door import Door
from api.faces import Faces
from api.live import LiveTracks
from api.settings import ApiSettings
from sightline.runtime.connection_urls import database_url
from sightline.runtime.errors import InfrastructureError
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Opened
from sightline.storage.objects import ObjectStore, open_store
from sightline.storage.outbox import deliver

log = logging.getLogger(__name__)

_CONNECTIONS = 10
_WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Database, objects, models, the matching stream, and who may come."""

    settings: Settings
    pool: "ConnectionPool[Connection]"
    objects: ObjectStore
    faces: Faces
    live: LiveTracks
    door: Door

    @classmethod
    def of(cls, settings: Settings) -> "Parts":
        """Nothing is connected and no model loaded yet."""
        faces, pool = Faces(settings), _pool(settings)
        live, door = LiveTracks(settings, faces), Door(ApiSettings.of(settings), pool)
        return cls(settings, pool, open_store(settings), faces, live, door)

    @contextmanager
    def db(self) -> Iterator[Connection]:
        """A connection; what was done in it is committed at the end, or undone on failure.

        Raises psycopg.OperationalError and PoolTimeout when there is no database.
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
        """While the app serves; at the end everything is drained before the deadline."""
        self.pool.open(wait=False)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.live.end_idle)
                tasks.start_soon(health.watch, self.pool, stop)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self.live.close(stop.remaining())
            self.pool.close(stop.remaining())


def _pool(settings: Settings) -> "ConnectionPool[Connection]":
    database_url(settings)  # where there is none, that is said at once
    return ConnectionPool(
        connection_class=Opened,
        kwargs={"settings": settings, "options": "-c timezone=UTC"},
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        configure=_configure,
        check=ConnectionPool.check_connection,  # one that a restart of the database has cut
        open=False,
        name="api",
    )


def _configure(connection: Connection) -> None:
    cast(Opened, connection).prepare()
    connection.commit()


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


Given = Annotated[Parts, Depends(_parts)]
"""A route's parameter."""
