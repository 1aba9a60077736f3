"""Bodies of requests: how large they may be, and those that come as JSON or as a form."""

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

from api.problems import too_large, unsupported

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "multipart/form-data"
FIELDS = "application/x-www-form-urlencoded"

_KIB = 1024

PUBLIC_BYTES = 16 * _KIB
"""Of a body that needs no key: the longest name and password, each character as an escape of
12 bytes, are 14.4 KiB.
"""

PUBLIC_SECONDS = 10.0
"""A body that needs no key has to come within this time."""

JSON_BYTES = 1024 * _KIB
"""Of a JSON body without a picture."""

JSON_VALUES = 10_000
"""Of a JSON body; the longest that means anything, a vector, has 4096."""


class BodyLimit:
    """Refuses bodies that are too large or, where no key is needed, too slow.

    Starlette's own limit answers with plain text.
    """

    def __init__(self, app: ASGIApp, limit: int, public: Collection[str]) -> None:
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
        until = anyio.current_time() + PUBLIC_SECONDS if is_public else None
        is_too_large = says_more_than(limit, Headers(scope=scope))
        read = 0

        async def limited() -> Message:
            nonlocal read, until
            if not is_too_large:
                message = await _by(until, receive)
                read += len(message.get("body", b""))
            if is_too_large or read > limit:
                raise too_large("the request", limit)
            if not message.get("more_body"):
                until = None  # from now on it is read whether the client is still there
            return message

        await self._app(scope, limited, send)


def says_more_than(limit: int, headers: Headers) -> bool:
    """Whether a request's head announces a body of more than `limit` bytes."""
    said = headers.get("content-length", "")
    return said.isdecimal() and int(said) > limit


async def _by(until: float | None, receive: Receive) -> Message:
    """The next part of a body; a problem 408 where it is not there at the time `until`."""
    try:
        with anyio.fail_after(None if until is None else max(0.0, until - anyio.current_time())):
            return await receive()
    except TimeoutError:
        raise HTTPException(
            408, f"the request took more than {PUBLIC_SECONDS:g} s to come",
            headers={"Connection": "close"},
        ) from None  # fmt: skip


def media_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, limit: int | None = JSON_BYTES) -> Any:
    """The body as JSON. Raises problems: 400 where it is none, 413 where it has more than
    `limit` bytes (None: what the app takes), 422 where it has too many values.

    It is parsed in a thread. That alone would not keep other requests from waiting, since a
    parser lets nobody else run meanwhile: the limits bound how long it takes.
    """
    return await run_in_threadpool(_parsed, await _read(request, limit))


async def _read(request: Request, limit: int | None) -> bytes:
    if limit is None:
        return await request.body()
    if says_more_than(limit, request.headers):
        raise too_large("the request", limit)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_large("the request", limit)
    return bytes(body)


def _parsed(body: bytes) -> Any:
    # A value is the first of a list or an object, or comes after a comma. Those in texts count
    # too, which base64 does not have.
    if sum(map(body.count, (b"[", b"{", b","))) > JSON_VALUES:
        raise HTTPException(422, f"the body has more than {JSON_VALUES} values")
    try:
        return from_json(body, cache_strings="none")  # passwords are among them
    except ValueError:
        raise HTTPException(400, "the body is no JSON") from None


def json_of(kind: type[M], limit: int | None = JSON_BYTES) -> Any:
    """A parameter's dependency: the body as a model; what `read_json` raises, 415 and 422.

    Unlike a body that FastAPI reads by itself, it is read after the checks that stand in a route's
    `dependencies`.
    """

    async def read(request: Request) -> M:
        if media_type(request) != JSON:
            raise unsupported(JSON)
        return checked(kind, await read_json(request, limit))

    return Depends(read)


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
    if isinstance(what, Mapping):
        return what
    return what.model_json_schema(ref_template="#/components/schemas/{model}")
