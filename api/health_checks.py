"""Health checks of the API, which need no key."""

import time
from typing import cast

import anyio
import anyio.to_thread
import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from psycopg_pool import ConnectionPool, PoolTimeout

from sightline.runtime import admin_http
from sightline.runtime.admin_http import Answer
from sightline.runtime.health import DATABASE, Health
from sightline.runtime.lifecycle import Stop
from sightline.storage.db import Connection

_BEAT_SECONDS = 1.0
_DATABASE_CHECK_SECONDS = 5.0
"""Between two looks at the database."""
_DATABASE_TIMEOUT_SECONDS = 2.0

router = APIRouter(tags=["service"])


@router.get("/healthz", summary="Whether the service goes on")
async def healthz(request: Request) -> JSONResponse:
    """Answer 503 where the service is stuck, and only a restart helps."""
    return _response(admin_http.liveness(_health(request)))


@router.get("/readyz", summary="Whether the service serves")
async def readyz(request: Request) -> JSONResponse:
    """Answer 503 while the service waits for the database."""
    return _response(admin_http.readiness(_health(request)))


async def watch(pool: "ConnectionPool[Connection]", stop: Stop) -> None:
    """Report to the service's health, until cancelled, on the event loop and the database."""
    checked = -_DATABASE_CHECK_SECONDS
    while True:
        stop.beat()
        if time.monotonic() - checked >= _DATABASE_CHECK_SECONDS:
            checked = time.monotonic()
            await anyio.to_thread.run_sync(
                _check_database, pool, stop.health, abandon_on_cancel=True
            )
        await anyio.sleep(_BEAT_SECONDS)


def _check_database(pool: "ConnectionPool[Connection]", health: Health) -> None:
    try:
        with pool.connection(_DATABASE_TIMEOUT_SECONDS) as db:
            db.execute("SELECT")
    except (psycopg.OperationalError, PoolTimeout):
        health.mark_unavailable(DATABASE)
        return
    health.mark_available(DATABASE)
    health.mark_ready()


def _health(request: Request) -> Health:
    return cast(Health, request.app.state.health)


def _response(answer: Answer) -> JSONResponse:
    status, body = answer
    return JSONResponse(body, int(status.split()[0]))
