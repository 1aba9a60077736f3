"""A camera that sends Motion JPEG over HTTP, served by a real HTTP server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class HttpCamera(BaseHTTPRequestHandler):
    """Sends picture after picture, each brighter, until it is told to go away."""

    gone = threading.Event()
    pause_seconds = 0.02

    def do_GET(self) -> None:
        if self.path != "/video":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        number = 0
        while not self.gone.wait(self.pause_seconds):
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
