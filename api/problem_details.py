"""Errors as clients read them: problem details (RFC 9457)."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg_pool import PoolTimeout
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException

from sightline.runtime.errors import (
    ConflictError,
    InfrastructureError,
    NotFoundError,
    SightlineError,
    UnreachableError,
    first_line,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_RETRY_SECONDS = 5
"""The API serves again within seconds of the broker or the database."""


class FieldError(BaseModel):
    """A wrong value of a request; the value is not repeated."""

    where: str
    message: str


class Problem(BaseModel):
    """Problem details; `reason` is a code for programs, `detail` a line for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    reason: str | None = None
    errors: list[FieldError] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "The error",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""The answers of every route besides its own: 404, 409, 413, 415, 422, 503 and more."""


def install(app: FastAPI) -> None:
    """Answer every failure of the app with a problem."""
    app.add_exception_handler(StarletteHTTPException, http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NotFoundError, _answers(404))
    app.add_exception_handler(ConflictError, _answers(409))
    app.add_exception_handler(SightlineError, _answers(422))
    # Values that pass our checks: a number too large for its column, a NUL in a text.
    app.add_exception_handler(psycopg.DataError, _bad_value)
    for absence in (
        UnreachableError, InfrastructureError, PoolTimeout, psycopg.OperationalError,
        psycopg.InterfaceError,
    ):  # fmt: skip
        app.add_exception_handler(absence, unavailable)
    # The server logs these with their tracebacks.
    app.add_exception_handler(Exception, _internal)


def unsupported(expected: str) -> HTTPException:
    """Return the problem for a body of another media type."""
    return HTTPException(415, f"send {expected}")


def too_large(subject: str, limit: int) -> HTTPException:
    """Return the problem for a body or a photo of too many bytes."""
    return HTTPException(413, f"{subject} has more than {limit} bytes")


def _problem(
    status: int,
    detail: str,
    *,
    reason: str | None = None,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, reason=reason, errors=errors
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


def _answers(status: int) -> Any:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        return _problem(status, str(error), reason=getattr(error, "reason", None))

    return answer


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that a route or the authentication refuses."""
    if not isinstance(error, StarletteHTTPException):
        raise TypeError from error
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = f"there is no {request.url.path}"
    return _problem(error.status_code, detail, headers=dict(error.headers or {}))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    is_no_json = any(each["type"] == "json_invalid" for each in error.errors())
    errors = [_field_error(each) for each in error.errors()]
    detail = "; ".join(f"{each.where}: {each.message}" for each in errors[:3])
    return _problem(400 if is_no_json else 422, detail, errors=errors)


def _field_error(error: Any) -> FieldError:
    where: Sequence[Any] = error["loc"]
    return FieldError(
        where=".".join(str(part) for part in where) or "request",
        message=str(error["msg"]).removeprefix("Value error, "),
    )


async def _bad_value(_request: Request, error: Exception) -> JSONResponse:
    return _problem(422, f"a value cannot be taken: {first_line(error)}")


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """Answer a request while the database, the broker or a service is away."""
    log.warning("%s %s: %s", request.method, request.url.path, first_line(error))
    detail = (
        "the database, the broker, vision or the matching stream does not answer; try again soon"
    )
    return _problem(503, detail, headers={"Retry-After": str(_RETRY_SECONDS)})


async def _internal(_request: Request, _error: Exception) -> JSONResponse:
    return _problem(500, "this should not have happened; the log of the service says more")
