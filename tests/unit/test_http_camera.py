"""A camera that sends MJPEG over HTTP, served by a real HTTP server."""

import threading
from functools import partial

import pytest

from producers.source_interface import CapturedPicture, Source, SourceLostError
from producers.sources import open_source
from sightline.runtime.clock import SystemClock
from sightline.storage.cameras import CameraSettings
from tests.http_camera import HttpCamera, camera_server
from tests.support import eventually

pytestmark = pytest.mark.slow


def open_live(uri: str) -> Source:
    return open_source(uri, CameraSettings(), SystemClock(), lambda _: None)


def next_picture(source: Source) -> CapturedPicture:
    picture = eventually(source.read)
    assert picture is not None
    return picture


def late_picture(source: Source) -> CapturedPicture | None:
    """The picture half a second later, if at least five were skipped for it meanwhile."""
    threading.Event().wait(0.5)
    picture = source.read()
    return picture if picture is not None and picture.skipped >= 5 else None


def test_the_newest_picture_is_read_and_the_loss_is_noticed() -> None:
    with camera_server() as address:
        source = open_live(f"{address}/video")
        try:
            first = next_picture(source)
            assert first.image is not None
            assert first.image.shape == (120, 160, 3)
            # A reader that comes late gets the newest picture, and the number of those skipped.
            late = eventually(partial(late_picture, source))
            assert late is not None
            assert late.captured_at_us - first.captured_at_us >= 300_000
            HttpCamera.gone.set()
            with pytest.raises(SourceLostError, match="stopped sending"):
                while True:
                    source.read()
        finally:
            source.close()


def test_a_wrong_path_is_one_line() -> None:
    with camera_server() as address, pytest.raises(SourceLostError, match="wrong path"):
        open_live(f"{address}/nothing")
