"""A camera that sends MJPEG over HTTP, served by a real HTTP server."""

import threading

import pytest

from producers.source_interface import Picture, Source, SourceLostError
from producers.sources import open_source
from sightline.runtime.clock import SystemClock
from sightline.storage.cameras import CameraSettings
from tests.http_camera import HttpCamera, camera_server
from tests.support import eventually


def open_live(uri: str) -> Source:
    return open_source(uri, CameraSettings(), SystemClock(), lambda _: None)


def next_picture(source: Source) -> Picture:
    picture = eventually(source.read, 10)
    assert picture is not None
    return picture


def test_the_newest_picture_is_read_and_the_loss_is_noticed() -> None:
    with camera_server() as address:
        source = open_live(f"{address}/video")
        try:
            first = next_picture(source)
            assert first.image is not None
            assert first.image.shape == (120, 160, 3)
            # Whoever comes late gets the newest picture, and hears how many were skipped.
            threading.Event().wait(0.5)
            late = next_picture(source)
            assert late.skipped >= 5
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
