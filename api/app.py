"""The application: routes, errors and what they stand on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from api import problems
from api.bodies import BodyLimit
from api.origins import same_origin
from api.parts import Parts
from api.routes import (
    calibrations,
    cameras,
    detected,
    employees,
    frames,
    module1,
    persons,
    search,
    sightings,
    snapshots,
    visits,
)
from sightline import __version__
from sightline.lifecycle import Stop
from sightline.settings import Settings

_PHOTOS_IN_A_BODY = 4
"""As large as may be; of ordinary ones many more fit."""


def make_app(settings: Settings, stop: Stop | None = None) -> FastAPI:
    """The application with all its routes. Raises SightlineError where nothing is set up."""
    parts = Parts.of(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with parts.running(stop or Stop(settings.shutdown_seconds)):
            yield

    app = FastAPI(
        title="Sightline",
        version=__version__,
        summary="Who was where, when, and were they allowed.",
        lifespan=lifespan,
        responses=problems.RESPONSES,
        dependencies=[Depends(same_origin)],
        generate_unique_id_function=_operation_id,
    )
    app.state.parts = parts
    app.add_middleware(BodyLimit, limit=_PHOTOS_IN_A_BODY * settings.api.max_photo_bytes)
    problems.install(app)
    for module in (
        frames, module1, detected, search, employees, persons, sightings, visits, cameras,
        calibrations, snapshots,
    ):  # fmt: skip
        app.include_router(module.router)
    app.get("/healthz", summary="Whether the service answers", tags=["service"])(_health)
    _describe_problems(app)
    return app


def _health() -> dict[str, str]:
    return {"status": "ok"}


def _operation_id(route: APIRoute) -> str:
    return f"{(route.tags or ['service'])[0]}-{route.name}".replace(" ", "-")


def _describe_problems(app: FastAPI) -> None:
    """Add the schema of problems, which no route has as its answer."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema = generate()
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in known:
            described = problems.Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            known |= described.pop("$defs")
            known["Problem"] = described
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
