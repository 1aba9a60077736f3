"""A camera that sends MJPEG over HTTP, served by a real HTTP server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from producers.pictures import Picture, Source, SourceLostError
from producers.sources import open_source
from sightline.clock import SystemClock
from sightline.store.cameras import CameraSettings
from tests.support import eventually


class Camera(BaseHTTPRequestHandler):
    """Sends picture after picture, each brighter, until it is told to go away."""

    gone = threading.Event()

    def do_GET(self) -> None:
        if self.path != "/video":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        number = 0
        while not self.gone.wait(0.02):
            image = np.full((120, 160, 3), number % 200, np.uint8)
            jpeg = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except ConnectionError:
                return
            number += 1

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def camera_server() -> Iterator[str]:
    Camera.gone.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        Camera.gone.set()
        server.shutdown()
        thread.join()
        server.server_close()


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
            Camera.gone.set()
            with pytest.raises(SourceLostError, match="stopped sending"):
                while True:
                    source.read()
        finally:
            source.close()


def test_a_wrong_path_is_one_line() -> None:
    with camera_server() as address, pytest.raises(SourceLostError, match="wrong path"):
        open_live(f"{address}/nothing")
