"""The application: routes, errors and what they stand on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from api import description, health, problems, viewer
from api.audited import Trail
from api.auth.gate import PUBLIC, Gate
from api.auth.headers import SecureHeaders
from api.bodies import BodyLimit
from api.measured import Measured
from api.origins import same_origin
from api.parts import Parts
from api.routes import (
    audit,
    calibrations,
    cameras,
    detected,
    employees,
    frames,
    module1,
    persons,
    search,
    sightings,
    sign_in,
    snapshots,
    visits,
)
from api.settings import ApiSettings
from sightline import __version__
from sightline.runtime.lifecycle import Stop
from sightline.runtime.settings import Settings

_PHOTOS_IN_A_BODY = 4
"""As large as may be; of ordinary ones many more fit."""


def make_app(settings: Settings, stop: Stop | None = None) -> FastAPI:
    """The application with all its routes. Raises SightlineError where nothing is set up."""
    parts = Parts.of(settings)
    until = stop or Stop(settings.shutdown_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with parts.running(until):
            yield

    app = FastAPI(
        title="Sightline",
        version=__version__,
        summary="Who was where, when, and were they allowed.",
        lifespan=lifespan,
        responses=problems.RESPONSES,
        dependencies=[Depends(same_origin)],
        generate_unique_id_function=_operation_id,
        openapi_url=None, docs_url=None, redoc_url=None,  # ours need a key
    )  # fmt: skip
    app.state.parts = parts
    app.state.health = until.health
    # The last one comes first.
    app.add_middleware(Trail)
    most = _PHOTOS_IN_A_BODY * ApiSettings.of(settings).max_photo_bytes
    app.add_middleware(BodyLimit, limit=most, public=PUBLIC)
    app.add_middleware(Gate)
    app.add_middleware(SecureHeaders)
    app.add_middleware(Measured)
    problems.install(app)
    for module in (
        frames, module1, detected, search, employees, persons, sightings, visits, cameras,
        calibrations, snapshots, audit, sign_in, health, viewer,
    ):  # fmt: skip
        app.include_router(module.router)
    description.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{(route.tags or ['service'])[0]}-{route.name}".replace(" ", "-")
