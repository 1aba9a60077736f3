"""Bodies of requests: how large they may be, and those that come as JSON or as a form."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import too_large, unsupported

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "multipart/form-data"


class BodyLimit:
    """Refuses larger bodies. Starlette's own limit answers with plain text."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading too much of its body raises within the route."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        is_too_large = said.isdecimal() and int(said) > self._limit
        read = 0

        async def limited() -> Message:
            nonlocal read
            if not is_too_large:
                message = await receive()
                read += len(message.get("body", b""))
            if is_too_large or read > self._limit:
                raise too_large("the request", self._limit)
            return message

        await self._app(scope, limited, send)


def media_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def wants_json(request: Request) -> None:
    """A dependency of routes that take JSON alone."""
    if media_type(request) != JSON:
        raise unsupported(JSON)


async def read_json(request: Request) -> Any:
    """The body as JSON; a problem 400 where it is none."""
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is no JSON") from None


def checked(kind: type[M], values: Any) -> M:
    """A model of what a body says; a problem 422 that names what is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = [one | {"loc": ("body", *one["loc"])} for one in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def described(**by_media_type: type[BaseModel] | Mapping[str, Any]) -> dict[str, Any]:
    """For OpenAPI, what a route reads by itself: `json=` and `form=`, a model or a schema."""
    names = {"json": JSON, "form": FORM}
    content = {names[key]: {"schema": _schema(what)} for key, what in by_media_type.items()}
    return {"requestBody": {"required": True, "content": content}}


def _schema(what: type[BaseModel] | Mapping[str, Any]) -> Mapping[str, Any]:
    return what if isinstance(what, Mapping) else what.model_json_schema()
