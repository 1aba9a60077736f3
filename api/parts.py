"""What all routes stand on, made once for each app."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import anyio
from fastapi import Depends, Request
from psycopg_pool import ConnectionPool

from api.faces import Faces
from api.live import LiveTracks
from sightline.endpoints import database_url
from sightline.errors import InfrastructureError
from sightline.lifecycle import Stop
from sightline.settings import Settings
from sightline.store.db import Connection, known_vectors, read_vectors
from sightline.store.objects import ObjectStore, open_store
from sightline.store.outbox import deliver

log = logging.getLogger(__name__)

_CONNECTIONS = 10
_WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Database, objects, models and the matching stream."""

    settings: Settings
    pool: "ConnectionPool[Connection]"
    objects: ObjectStore
    faces: Faces
    live: LiveTracks

    @classmethod
    def of(cls, settings: Settings) -> "Parts":
        """Nothing is connected and no model loaded yet."""
        faces = Faces(settings)
        return cls(
            settings, _pool(settings), open_store(settings), faces, LiveTracks(settings, faces)
        )

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
                yield
                tasks.cancel_scope.cancel()
        finally:
            self.live.close(stop.remaining())
            self.pool.close(stop.remaining())


def _pool(settings: Settings) -> "ConnectionPool[Connection]":
    return ConnectionPool(
        database_url(settings),
        kwargs={"options": "-c timezone=UTC", "context": known_vectors},
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=_WAIT_SECONDS,
        configure=_configure,
        check=ConnectionPool.check_connection,  # one that a restart of the database has cut
        open=False,
        name="api",
    )


def _configure(connection: Connection) -> None:
    read_vectors(connection)
    connection.commit()


def _parts(request: Request) -> Parts:
    return cast(Parts, request.app.state.parts)


Given = Annotated[Parts, Depends(_parts)]
"""A route's parameter."""
