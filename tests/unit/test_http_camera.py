"""A camera that sends MJPEG over HTTP, served by a real HTTP server."""

import threading
from functools import partial
from threading import Thread
from typing import cast

import pytest
from pydantic import SecretStr

from producers.camera_credentials import DEFAULT_SECRETS
from producers.camera_loop import CameraLoop
from producers.publisher import Publisher
from producers.settings import CaptureSettings
from producers.source_interface import CapturedPicture, Source, SourceLostError
from producers.sources import open_source
from producers.spool import ReadPosition
from sightline.runtime.clock import SystemClock
from sightline.runtime.health import Health
from sightline.runtime.lifecycle import Stop
from sightline.storage.cameras import Camera, CameraSettings, validated
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
            first = next_picture(source)
            eventually(
                lambda: next_picture(source).captured_at_us - first.captured_at_us > 3_000_000,
                what="it is still read after three seconds",
            )
        finally:
            source.close()


class NoKafka:
    """What a camera's loop needs of a publisher before the first picture."""

    position = ReadPosition()

    def end_event(self) -> None:
        pass

    def move_to(self, position: ReadPosition) -> None:
        pass

    def poll(self, seconds: float = 0.0) -> None:
        pass

    def close(self, stop: Stop) -> None:
        pass


def test_a_camera_that_says_nothing_holds_no_stop_up() -> None:
    """With a long time-out the loop goes on reporting that it lives, and ends when it is to."""
    with camera_server() as address:
        settings = CameraSettings(timeout=600)
        camera = Camera(
            camera_id="slow", uri=SecretStr(f"{address}/silent"), settings=settings, slot=0,
            status="new", status_detail=None, status_at=None,
        )  # fmt: skip
        health = Health()
        stop = Stop(10.0, health)
        loop = CameraLoop(
            camera, cast(Publisher, NoKafka()), lambda *_: None, stop, stop, SystemClock(),
            DEFAULT_SECRETS,
            CaptureSettings(),
        )  # fmt: skip
        thread = Thread(target=loop.run)
        thread.start()
        thread.join(6.0)
        assert thread.is_alive()
        assert max(health.beat_ages().values()) < 5.0
        stop.request()
        thread.join(60.0)
        assert not thread.is_alive()


def test_the_scheme_may_be_written_in_capitals() -> None:
    with camera_server() as address:
        source = open_live(f"{address.replace('http', 'HTTP')}/video")
        try:
            assert next_picture(source).image is not None
        finally:
            source.close()
