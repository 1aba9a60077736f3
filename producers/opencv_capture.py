"""OpenCV captures that log nothing, use one thread and have time-outs."""

import os

import cv2

from producers.source_interface import SourceLostError
from sightline.storage.cameras import DEFAULT_TIMEOUT_SECONDS


def quiet_opencv() -> None:
    """Set OpenCV to one thread per capture and no log of its own: it would print passwords."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Else a host that hangs while it is opened holds up the opening of every other camera.
    os.environ.setdefault("OPENCV_FFMPEG_IS_THREAD_SAFE", "1")
    # UDP loses packets, which become grey pictures. Not "nobuffer": these options hold for films
    # too, and it would lose their first frames.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")


def open_capture(target: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> cv2.VideoCapture:
    """Return FFmpeg's capture of a file or URL; the caller checks whether it is open.

    A camera that does not answer, or then sends nothing, for the time-out counts as lost.
    """
    quiet_opencv()
    return cv2.VideoCapture(
        target,
        cv2.CAP_FFMPEG,
        [
            cv2.CAP_PROP_N_THREADS, 1,  # frame threads would each hold a picture back
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(timeout_seconds * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(timeout_seconds * 1000),
        ],
    )  # fmt: skip


def open_device(path: str, resolution: tuple[int, int] | None) -> cv2.VideoCapture:
    """Return the capture of a device such as /dev/video0, at a width and height if given."""
    quiet_opencv()
    if resolution is None:
        return cv2.VideoCapture(path, cv2.CAP_V4L2)
    width, height = resolution
    parameters = [
        # Few devices have bandwidth for large pictures that are not compressed.
        cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH, width, cv2.CAP_PROP_FRAME_HEIGHT, height,
    ]  # fmt: skip
    return cv2.VideoCapture(path, cv2.CAP_V4L2, parameters)


def require_open(capture: cv2.VideoCapture, message: str) -> cv2.VideoCapture:
    """Return the capture. Raises SourceLostError with the message if it is not open."""
    if not capture.isOpened():
        capture.release()
        raise SourceLostError(message)
    return capture
