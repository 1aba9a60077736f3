"""Protection from requests that pages of other sites have a browser send (CSRF)."""

from urllib.parse import urlsplit

from fastapi import HTTPException, Request

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def same_origin(request: Request) -> None:
    """Refuse a writing request of another site's page with a problem 403.

    A dependency of every route: a form of any page can post to loopback, and could enrol a face.
    Browsers send the page's origin; other clients send none.
    """
    origin = request.headers.get("origin")
    if request.method in _SAFE_METHODS or origin is None:
        return
    if _host_of(origin) != request.headers.get("host"):
        raise HTTPException(403, "pages of other sites cannot write here")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address: half of an IPv6 one, for instance
        return ""
