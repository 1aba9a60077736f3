"""The service `api`."""

import logging

import uvicorn
from fastapi import FastAPI

from sightline import __version__
from sightline.lifecycle import start_service
from sightline.settings import Settings

log = logging.getLogger(__name__)


def make_app(settings: Settings) -> FastAPI:  # noqa: ARG001
    """The application with all its routes."""
    return FastAPI(title="Sightline", version=__version__)


def run(settings: Settings) -> None:
    """Serve until told to stop."""
    stop = start_service("api", settings)
    config = uvicorn.Config(make_app(settings), host=settings.api.host, port=settings.api.port)
    server = uvicorn.Server(config)
    if not stop:
        server.run()
