"""The OpenAPI description, which needs a key like every other route."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from api import problem_details
from api.auth.auth_middleware import PUBLIC
from api.auth.authenticator import COOKIE
from api.auth.permissions import requires
from sightline.audit.roles import Permission

_URL = "/openapi.json"

_SECURITY_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "keyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def install(app: FastAPI) -> None:
    """Add the route, and to the schema what no route declares: problems, and authentication."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return _completed(generate())

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get(
        _URL, include_in_schema=False,
        dependencies=[requires(Permission.DESCRIPTION_READ, scoped=True)],
    )  # fmt: skip
    def schema() -> JSONResponse:
        return JSONResponse(app.openapi())


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    if "securitySchemes" in components:  # FastAPI keeps the schema that it has made
        return schema
    for body in _bodies(schema):
        components.setdefault("schemas", {}).update(body.get("$defs", {}))
    problem = problem_details.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components.setdefault("schemas", {}).update(problem.pop("$defs"), Problem=problem)
    components["securitySchemes"] = _SECURITY_SCHEMES
    schema["security"] = [{name: []} for name in _SECURITY_SCHEMES]
    for path in PUBLIC & schema["paths"].keys():
        for operation in schema["paths"][path].values():
            operation["security"] = []
    return schema


def _bodies(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schemas of all request bodies."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            for body in operation.get("requestBody", {"content": {}})["content"].values():
                yield body["schema"]
