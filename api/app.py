"""The application: routes, middleware, error handlers and the context they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from api import docs_page, health_checks, openapi_schema, problem_details
from api.app_context import AppContext
from api.audit_middleware import AuditMiddleware
from api.auth.auth_middleware import PUBLIC, AuthMiddleware
from api.auth.security_headers import SecurityHeaders
from api.csrf import same_origin
from api.request_bodies import BodyLimit
from api.request_metrics import RequestMetrics
from api.routes import (
    audit,
    calibrations,
    cameras,
    detected_persons,
    employees,
    legacy_api,
    persons,
    process_frame,
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

_MAX_PHOTOS_PER_BODY = 4
"""Of the largest size allowed; many more ordinary photos fit."""


def make_app(settings: Settings, stop: Stop | None = None) -> FastAPI:
    """Return the application with all its routes.

    Raises:
        SightlineError: No database is set up.
    """
    context = AppContext.of(settings)
    # Not `or`: a stop is false until it is requested.
    service_stop = Stop(settings.shutdown_seconds) if stop is None else stop

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with context.running(service_stop):
            yield

    app = FastAPI(
        title="Sightline",
        version=__version__,
        summary="Who was where, when, and were they allowed.",
        lifespan=lifespan,
        responses=problem_details.RESPONSES,
        dependencies=[Depends(same_origin)],
        generate_unique_id_function=_operation_id,
        openapi_url=None, docs_url=None, redoc_url=None,  # they would need no key
    )  # fmt: skip
    app.state.context = context
    app.state.health = service_stop.health
    # A request passes the middleware added last first.
    app.add_middleware(AuditMiddleware)
    max_bytes = _MAX_PHOTOS_PER_BODY * ApiSettings.of(settings).max_photo_bytes
    app.add_middleware(BodyLimit, limit=max_bytes, public=PUBLIC)
    app.add_middleware(AuthMiddleware)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics)
    problem_details.install(app)
    for module in (
        process_frame, legacy_api, detected_persons, search, employees, persons, sightings, visits,
        cameras, calibrations, snapshots, audit, sign_in, health_checks, docs_page,
    ):  # fmt: skip
        app.include_router(module.router)
    openapi_schema.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{(route.tags or ['service'])[0]}-{route.name}".replace(" ", "-")
