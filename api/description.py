"""The API's description of itself, for programs and for people; it needs a key as all does."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from api import problems
from api.access.door import COOKIE
from api.access.gate import PUBLIC
from api.access.needs import needs
from sightline.access.roles import Permission

_URL = "/openapi.json"

_WAYS_IN = {
    "key": {"type": "http", "scheme": "bearer", "description": "an API key"},
    "keyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}

_VIEWER_FROM = "https://cdn.jsdelivr.net"


def install(app: FastAPI) -> None:
    """Add the routes, and to the schema what no route says: problems, and the ways in."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        return _completed(generate())

    app.openapi = openapi  # type: ignore[method-assign]
    reads = [needs(Permission.DESCRIPTION_READ, scoped=True)]

    @app.get(_URL, include_in_schema=False, dependencies=reads)
    def schema() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False, dependencies=reads)
    def docs() -> HTMLResponse:
        page = get_swagger_ui_html(openapi_url=_URL, title=app.title)
        page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())
        return page


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    known = schema.setdefault("components", {})
    if "securitySchemes" in known:  # it is made once
        return schema
    described = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    known.setdefault("schemas", {}).update(described.pop("$defs"), Problem=described)
    known["securitySchemes"] = _WAYS_IN
    schema["security"] = [{name: []} for name in _WAYS_IN]
    for path in PUBLIC & schema["paths"].keys():
        for operation in schema["paths"][path].values():
            operation["security"] = []
    return schema


def _policy(page: str) -> str:
    """What the viewer may load: itself, and the one script that the page holds."""
    scripts = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    )
    return (
        f"default-src 'none'; script-src {_VIEWER_FROM} {scripts}; connect-src 'self';"
        f" style-src {_VIEWER_FROM} 'unsafe-inline'; img-src 'self' data:;"
        " frame-ancestors 'none'; base-uri 'none'"
    )
