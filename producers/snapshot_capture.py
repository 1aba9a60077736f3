"""Snapshot addresses: a camera that gives one picture for each request is polled."""

import time
from collections.abc import Generator
from typing import Final

import cv2
import httpx2
import numpy as np

_MAX_BYTES: Final = 32 * 1024 * 1024
"""Largest picture; a longer answer is no snapshot."""

DEFAULT_POLLS_PER_SECOND: Final = 2.0
"""Requests per second to a camera without a frame rate of its own."""


class _CameraAuth(httpx2.Auth):
    """Authentication as a camera asks for it: digest or basic."""

    def __init__(self, username: str, password: str) -> None:
        self._basic = httpx2.BasicAuth(username, password)
        self._digest = httpx2.DigestAuth(username, password)
        self._chosen: httpx2.Auth | None = None

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send the request, once more with credentials if the camera refuses it without."""
        if self._chosen is None:
            response = yield request
            if response.status_code != httpx2.codes.UNAUTHORIZED:
                return
            challenge = response.headers.get("www-authenticate", "").lower()
            self._chosen = self._digest if "digest" in challenge else self._basic
        yield from self._chosen.auth_flow(request)


class SnapshotCapture:
    """A capture by requests, with the methods of `cv2.VideoCapture` that a live source uses."""

    def __init__(self, url: str, timeout_seconds: float, fps: float | None) -> None:
        address = httpx2.URL(url)
        self._interval_seconds = 1.0 / (fps or DEFAULT_POLLS_PER_SECOND)
        self._due = 0.0
        self._data = b""
        self._client = httpx2.Client(
            # Cameras sign their certificates themselves; FFmpeg, which reads streams, checks none.
            verify=False,
            timeout=timeout_seconds,
            follow_redirects=True,
            auth=_CameraAuth(address.username, address.password) if address.userinfo else None,
        )
        self._url = address.copy_with(userinfo=b"")

    def is_snapshot(self) -> bool:
        """Return True if the address gives one picture; a stream gives a sequence of parts."""
        try:
            with self._client.stream("GET", self._url) as response:
                return str(response.headers.get("content-type", "")).startswith("image/")
        except httpx2.HTTPError:
            return False  # it is opened as a stream then, which has its own reasons

    def grab(self) -> bool:
        """Wait until the next picture is due and fetch it; return False if there is none."""
        time.sleep(max(0.0, self._due - time.monotonic()))
        self._due = time.monotonic() + self._interval_seconds
        try:
            self._data = self._fetch()
        except httpx2.HTTPError:
            return False
        return bool(self._data)

    def _fetch(self) -> bytes:
        data = bytearray()
        with self._client.stream("GET", self._url) as response:
            response.raise_for_status()
            for part in response.iter_bytes():
                data += part
                if len(data) > _MAX_BYTES:
                    return b""
        return bytes(data)

    def retrieve(self) -> tuple[bool, object]:
        """Decode the fetched picture (H x W x 3, BGR); False and None for a broken one."""
        image = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_COLOR)
        return image is not None, image

    def release(self) -> None:
        """Close the connection."""
        self._client.close()


def open_snapshot(url: str, timeout_seconds: float, fps: float | None) -> SnapshotCapture | None:
    """Return the capture of a snapshot address; None if the address gives a stream."""
    capture = SnapshotCapture(url, timeout_seconds, fps)
    if capture.is_snapshot():
        return capture
    capture.release()
    return None
