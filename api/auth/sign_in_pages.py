"""The two pages of a sign-in."""

from html import escape

from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sightline</title>{head}
<style>
body {{ font: 1rem system-ui; max-width: 20rem; margin: 15vh auto; padding: 0 1rem }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit }}
input {{ margin: .2rem 0 1rem; padding: .4rem }} button {{ padding: .5rem }}
</style></head>
<body><h1>Sightline</h1>{body}</body>
</html>
"""

_FORM = """
<form method="post" action="/sign-in">
<label>Name <input name="name" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required>
</label>
<button>Sign in</button>
</form>
"""


def sign_in_page(provider: str | None, error: HTTPException | None = None) -> HTMLResponse:
    """Return the form, with a link to the provider, if any, and the error of the last attempt."""
    body = _FORM
    if error is not None:
        body = f"<p>{escape(error.detail)}</p>{body}"
    if provider is not None:
        body += f'<p><a href="{escape(provider)}">Sign in by your organisation</a></p>'
    response = _page(body=body)
    response.status_code = error.status_code if error else 200
    return response


def redirect_page(path: str) -> HTMLResponse:
    """Return a page that goes on to a path by itself."""
    target = escape(path)
    return _page(
        head=f'<meta http-equiv="refresh" content="0; url={target}">',
        body=f'<p><a href="{target}">Go on</a></p>',
    )


def _page(*, head: str = "", body: str) -> HTMLResponse:
    return HTMLResponse(
        _PAGE.format(head=head, body=body), headers={"Content-Security-Policy": _POLICY}
    )
