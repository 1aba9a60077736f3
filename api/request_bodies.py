"""Bodies of requests: their size, and their parsing as JSON or as a form."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import anyio
from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem_details import too_large, unsupported

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "multipart/form-data"
FIELDS = "application/x-www-form-urlencoded"

_KIB = 1024

PUBLIC_BYTES = 16 * _KIB
"""Of a body that needs no key: the longest name and password are 14.4 KiB, with an escape of 12
bytes for each character.
"""

PUBLIC_SECONDS = 10.0
"""For the arrival of a body that needs no key."""

JSON_BYTES = 1024 * _KIB
"""Of a JSON body without a picture."""

JSON_VALUES = 10_000
"""Of a JSON body; the largest legal one, a vector, has 4096."""


class BodyLimit:
    """Refuses bodies that are too large or, where no key is needed, too slow.

    Starlette's own limit answers with plain text.
    """

    def __init__(self, app: ASGIApp, limit: int, public: Collection[str]) -> None:
        """Wrap an app: `limit` in bytes, `public` are the paths that need no key."""
        self._app = app
        self._limit = limit
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading too much of its body raises within the route."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_public = scope["path"] in self._public
        limit = min(PUBLIC_BYTES, self._limit) if is_public else self._limit
        deadline = anyio.current_time() + PUBLIC_SECONDS if is_public else None
        is_too_large = announces_more_than(limit, Headers(scope=scope))
        size = 0

        async def limited() -> Message:
            nonlocal size, deadline
            if not is_too_large:
                message = await _receive_by(deadline, receive)
                size += len(message.get("body", b""))
            if is_too_large or size > limit:
                raise too_large("the request", limit)
            if not message.get("more_body"):
                deadline = None  # further reads wait for the client to disconnect
            return message

        await self._app(scope, limited, send)


def announces_more_than(limit: int, headers: Headers) -> bool:
    """Return whether a request's headers announce a body of more than `limit` bytes."""
    length = headers.get("content-length", "")
    return length.isdecimal() and int(length) > limit


async def _receive_by(deadline: float | None, receive: Receive) -> Message:
    """Return the next part of a body. Raises a problem 408 after the deadline."""
    try:
        with anyio.fail_after(
            None if deadline is None else max(0.0, deadline - anyio.current_time())
        ):
            return await receive()
    except TimeoutError:
        raise HTTPException(
            408, f"the request took more than {PUBLIC_SECONDS:g} s to come",
            headers={"Connection": "close"},
        ) from None  # fmt: skip


def media_type(request: Request) -> str:
    """Return the body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, limit: int | None = JSON_BYTES) -> Any:
    """Return the body as JSON.

    It is parsed in a thread. That alone would not keep other requests from waiting, since the
    parser holds the interpreter's lock: the limits bound its time.

    Raises:
        HTTPException: 400 for no JSON, 413 for more than `limit` bytes (None: the app's limit),
            422 for too many values.
    """
    return await run_in_threadpool(_parsed, await _read(request, limit))


async def _read(request: Request, limit: int | None) -> bytes:
    if limit is None:
        return await request.body()
    if announces_more_than(limit, request.headers):
        raise too_large("the request", limit)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_large("the request", limit)
    return bytes(body)


def _parsed(body: bytes) -> Any:
    # A value is the first of a list or an object, or comes after a comma. These characters count
    # in texts too; base64 has none of them.
    if sum(map(body.count, (b"[", b"{", b","))) > JSON_VALUES:
        raise HTTPException(422, f"the body has more than {JSON_VALUES} values")
    try:
        return from_json(body, cache_strings="none")  # passwords are among them
    except ValueError:
        raise HTTPException(400, "the body is no JSON") from None


def json_of(kind: type[M], limit: int | None = JSON_BYTES) -> Any:
    """Return a parameter's dependency: the body as a model.

    Unlike a body that FastAPI reads by itself, it is read after the checks in a route's
    `dependencies`. Raises the problems of `read_json`, 415 and 422.
    """

    async def read(request: Request) -> M:
        if media_type(request) != JSON:
            raise unsupported(JSON)
        return validated(kind, await read_json(request, limit))

    return Depends(read)


def validated(kind: type[M], values: Any) -> M:
    """Return the model of a body's values. Raises a problem 422 that names each error."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        errors = [
            each | {"loc": ("body", *each["loc"])} for each in error.errors(include_url=False)
        ]
        raise RequestValidationError(errors) from None


def described(**by_media_type: type[BaseModel] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that a route reads by itself.

    `json=` and `form=` take a model or a schema.
    """
    names = {"json": JSON, "form": FORM}
    content = {names[key]: {"schema": _schema(kind)} for key, kind in by_media_type.items()}
    return {"requestBody": {"required": True, "content": content}}


def _schema(kind: type[BaseModel] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(kind, Mapping):
        return kind
    return kind.model_json_schema(ref_template="#/components/schemas/{model}")
