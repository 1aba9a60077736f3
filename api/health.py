"""Whether the API goes on and serves; anybody may ask that."""

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
_ASK_SECONDS = 5.0
_ANSWER_SECONDS = 2.0

router = APIRouter(tags=["service"])


@router.get("/healthz", summary="Whether the service goes on")
async def healthz(request: Request) -> JSONResponse:
    """503 where it is stuck, and only a restart helps."""
    return _said(admin_http.alive(_health(request)))


@router.get("/readyz", summary="Whether the service serves")
async def readyz(request: Request) -> JSONResponse:
    """503 while it waits for the database."""
    return _said(admin_http.ready(_health(request)))


async def watch(pool: "ConnectionPool[Connection]", stop: Stop) -> None:
    """Tell health, until cancelled, that the loop goes on and whether the database answers."""
    asked = -_ASK_SECONDS
    while True:
        stop.beat()
        if time.monotonic() - asked >= _ASK_SECONDS:
            asked = time.monotonic()
            await anyio.to_thread.run_sync(_ask, pool, stop.health, abandon_on_cancel=True)
        await anyio.sleep(_BEAT_SECONDS)


def _ask(pool: "ConnectionPool[Connection]", health: Health) -> None:
    try:
        with pool.connection(_ANSWER_SECONDS) as db:
            db.execute("SELECT")
    except (psycopg.OperationalError, PoolTimeout):
        health.waits_for(DATABASE)
    else:
        health.has(DATABASE)
        health.ready()


def _health(request: Request) -> Health:
    return cast(Health, request.app.state.health)


def _said(answer: Answer) -> JSONResponse:
    status, said = answer
    return JSONResponse(said, int(status.split()[0]))
