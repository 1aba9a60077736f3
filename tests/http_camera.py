"""A camera that sends Motion JPEG or single pictures over HTTP, served by a real HTTP server."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

USER, PASSWORD = "admin", "hunter2"  # of /private.jpg


def picture(number: int) -> bytes:
    """A JPEG of one grey, brighter with the number."""
    return cv2.imencode(".jpg", np.full((120, 160, 3), number % 200, np.uint8))[1].tobytes()


def spoilt_picture(number: int) -> bytes:
    """The same, but every tenth one is nothing that can be decoded."""
    if number % 10 != 9:
        return picture(number)
    return b"\xff\xd8" + np.random.default_rng(number).bytes(300) + b"\xff\xd9"


class HttpCamera(BaseHTTPRequestHandler):
    """Sends picture after picture, each brighter, until it is told to go away."""

    gone = threading.Event()
    requests = 0
    pause_seconds = 0.02

    def do_GET(self) -> None:
        match self.path:
            case "/video":
                self._stream(self.pause_seconds)
            case "/spoilt":
                self._stream(self.pause_seconds, spoilt_picture)
            case "/silent":
                self.gone.wait()
            case "/slow":
                self._stream(2.0)
            case "/snapshot.jpg":
                self._send_picture()
            case "/private.jpg":
                expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                if self.headers.get("Authorization") == f"Basic {expected}":
                    self._send_picture()
                else:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
            case _:
                self.send_error(404)

    def _send_picture(self) -> None:
        HttpCamera.requests += 1
        jpeg = picture(HttpCamera.requests)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(jpeg)))
        self.end_headers()
        self.wfile.write(jpeg)

    def _stream(self, pause: float, make: Callable[[int], bytes] = picture) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        number = 0
        while not self.gone.wait(pause):
            jpeg = make(number)
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except ConnectionError:
                return
            number += 1

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def camera_server(pause_seconds: float = 0.02) -> Iterator[str]:
    """A camera with a pause between its pictures, which costs whoever reads them to decode."""
    HttpCamera.gone.clear()
    handler = type("PausingCamera", (HttpCamera,), {"pause_seconds": pause_seconds})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        HttpCamera.gone.set()
        server.shutdown()
        thread.join()
        server.server_close()
