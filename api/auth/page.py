"""The two pages that people meet when they sign in."""

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


def sign_in(provider: str | None, error: HTTPException | None = None) -> HTMLResponse:
    """A form, a link to the provider where there is one, and why nobody was signed in."""
    body = _FORM
    if error is not None:
        body = f"<p>{escape(error.detail)}</p>{body}"
    if provider is not None:
        body += f'<p><a href="{escape(provider)}">Sign in by your organisation</a></p>'
    answer = _page(body=body)
    answer.status_code = error.status_code if error else 200
    return answer


def onwards(path: str) -> HTMLResponse:
    """A page that goes on by itself."""
    to = escape(path)
    return _page(
        head=f'<meta http-equiv="refresh" content="0; url={to}">',
        body=f'<p><a href="{to}">Go on</a></p>',
    )


def _page(*, head: str = "", body: str) -> HTMLResponse:
    return HTMLResponse(
        _PAGE.format(head=head, body=body), headers={"Content-Security-Policy": _POLICY}
    )
