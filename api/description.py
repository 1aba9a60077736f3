"""The API's description of itself, for programs; it needs a key as all does."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from api import problems
from api.auth.door import COOKIE
from api.auth.gate import PUBLIC
from api.auth.needs import needs
from sightline.audit.roles import Permission

_URL = "/openapi.json"

_WAYS_IN = {
    "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "keyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def install(app: FastAPI) -> None:
    """Add the routes, and to the schema what no route says: problems, and the ways in."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return _completed(generate())

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get(
        _URL, include_in_schema=False,
        dependencies=[needs(Permission.DESCRIPTION_READ, scoped=True)],
    )  # fmt: skip
    def schema() -> JSONResponse:
        return JSONResponse(app.openapi())


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    known = schema.setdefault("components", {})
    if "securitySchemes" in known:  # it is made once
        return schema
    for body in _bodies(schema):
        known.setdefault("schemas", {}).update(body.get("$defs", {}))
    described = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    known.setdefault("schemas", {}).update(described.pop("$defs"), Problem=described)
    known["securitySchemes"] = _WAYS_IN
    schema["security"] = [{name: []} for name in _WAYS_IN]
    for path in PUBLIC & schema["paths"].keys():
        for operation in schema["paths"][path].values():
            operation["security"] = []
    return schema


def _bodies(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of all bodies that requests have."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {"content": {}})["content"].values():
                yield body["schema"]
