"""A camera that sends MJPEG over HTTP, served by a real HTTP server."""

import threading
from functools import partial

import pytest

from producers.source_interface import CapturedPicture, Source, SourceLostError
from producers.sources import open_source
from sightline.runtime.clock import SystemClock
from sightline.storage.cameras import CameraSettings, validated
from tests.http_camera import PASSWORD, USER, HttpCamera, camera_server
from tests.support import eventually

pytestmark = pytest.mark.slow


def open_live(uri: str, **settings: object) -> Source:
    return open_source(uri, validated(CameraSettings, **settings), SystemClock(), lambda _: None)


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


def test_a_broken_picture_is_counted_and_the_camera_goes_on() -> None:
    with camera_server() as address:
        source = open_live(f"{address}/spoilt")
        try:
            pictures = [next_picture(source) for _ in range(40)]
        finally:
            source.close()
    broken = sum(picture.broken + (picture.image is None) for picture in pictures)
    captured = sum(1 + picture.skipped + picture.broken for picture in pictures)
    assert captured // 10 - 1 <= broken <= captured // 10 + 1


@pytest.mark.parametrize(
    ("path", "credentials"), [("snapshot.jpg", ""), ("private.jpg", f"{USER}:{PASSWORD}@")]
)
def test_a_snapshot_address_is_polled(path: str, credentials: str) -> None:
    with camera_server() as address:
        source = open_live(f"{address.replace('//', f'//{credentials}')}/{path}", fps=20)
        try:
            pictures = [next_picture(source) for _ in range(5)]
        finally:
            source.close()
    greys = [int(picture.image[0, 0, 0]) for picture in pictures if picture.image is not None]
    assert len(set(greys)) == 5, "each is a picture of its own"
    assert pictures[-1].captured_at_us - pictures[0].captured_at_us >= 150_000, "at its rate"


def test_a_slow_camera_needs_a_longer_timeout() -> None:
    with camera_server() as address:
        with pytest.raises(SourceLostError, match="--timeout"):
            source = open_live(f"{address}/slow", timeout=1)
            try:
                eventually(lambda: source.read() and False)
            finally:
                source.close()
        source = open_live(f"{address}/slow", timeout=60)
        try:
            first, second = next_picture(source), next_picture(source)
        finally:
            source.close()
    assert second.captured_at_us - first.captured_at_us >= 1_500_000


def test_the_scheme_may_be_written_in_capitals() -> None:
    with camera_server() as address:
        source = open_live(f"{address.replace('http', 'HTTP')}/video")
        try:
            assert next_picture(source).image is not None
        finally:
            source.close()
