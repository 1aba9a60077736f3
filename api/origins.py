"""Whose pages may write here: our own alone."""

from urllib.parse import urlsplit

from fastapi import HTTPException, Request

_READS = {"GET", "HEAD", "OPTIONS"}


def same_origin(request: Request) -> None:
    """A dependency of every route: 403 for what a page of another site has a browser send.

    A form of any page can post to loopback, and could enrol a face. Browsers say whose page it
    is; other clients say nothing.
    """
    origin = request.headers.get("origin")
    if request.method in _READS or origin is None:
        return
    if _host_of(origin) != request.headers.get("host"):
        raise HTTPException(403, "pages of other sites cannot write here")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address: half of an IPv6 one, for instance
        return ""
