"""The page `/docs`: the API's description in Swagger UI, which is served from our own files."""

from html import escape
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from api.auth.permissions import CurrentActor, requires
from sightline.audit.roles import Permission

router = APIRouter(prefix="/docs", include_in_schema=False)

_MAY_READ = requires(Permission.DESCRIPTION_READ, scoped=True)

_OURS, _SWAGGER_UI = files("api") / "static", files("fastapi_offline") / "static"

_FILES: Final = {
    "viewer.css": (_OURS, "text/css"),
    "viewer.js": (_OURS, "text/javascript"),
    "swagger-ui.css": (_SWAGGER_UI, "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript"),
}
"""The folder and the media type of each file that the page loads."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self';"
    " form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sightline</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/viewer.css"></head>
<body>
<header><span id="told" role="status"></span>
<span>Signed in as {name} ({role})</span><button id="sign-out">Sign out</button></header>
<main id="viewer"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/viewer.js"></script>
</body>
</html>
"""


@router.get("", dependencies=[_MAY_READ])
def docs(actor: CurrentActor) -> HTMLResponse:
    """Return the page, which says who is signed in and signs out."""
    page = _PAGE.format(name=escape(actor.name), role=actor.role)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})


@router.get("/{file}", dependencies=[_MAY_READ])
def file_of_docs(file: str) -> Response:
    """Return a file that the page loads. Raises a problem 404 for any other."""
    if file not in _FILES:
        raise HTTPException(404)
    folder, media_type = _FILES[file]
    return Response((folder / file).read_bytes(), media_type=media_type)
