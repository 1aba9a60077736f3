"""Requests to the service processes of a home, at the addresses that they have announced."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

from sightline.runtime.service_discovery import Target

_REQUEST_TIMEOUT_SECONDS = 5.0
_REQUEST_TIMEOUT_OF_MANY_SECONDS = 2.0
_MAX_CONCURRENT = 16


def request_page(
    target: Target,
    path: str,
    *,
    method: str = "GET",
    body: str = "",
    seconds: float = _REQUEST_TIMEOUT_SECONDS,
) -> tuple[int, str]:
    """Return the HTTP status and body of the response; 0 and the reason without a response."""
    import httpx2  # noqa: PLC0415 - `--help` does not wait for it

    try:
        url = f"http://{target.local_address}{path}"
        # By default each request would load the certificates of all authorities, in 50 ms.
        no_authorities = SSLContext(PROTOCOL_TLS_CLIENT)
        answer = httpx2.request(
            method, url, content=body or None, timeout=seconds, verify=no_authorities
        )
    except httpx2.HTTPError as error:
        return 0, f"it does not answer: {error}"
    return answer.status_code, answer.text


def request_pages(targets: Sequence[Target], path: str) -> list[tuple[Target, str]]:
    """Ask processes side by side; return the bodies of those that answer with status 200."""
    if not targets:
        return []
    with ThreadPoolExecutor(min(len(targets), _MAX_CONCURRENT)) as pool:
        request = partial(request_page, path=path, seconds=_REQUEST_TIMEOUT_OF_MANY_SECONDS)
        answers = pool.map(request, targets)
        return [
            (target, text)
            for target, (status, text) in zip(targets, answers, strict=True)
            if status == 200
        ]
