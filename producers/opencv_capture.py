"""OpenCV captures that log nothing, use one thread and have time-outs."""

import os
from typing import Final

import cv2

from producers.source_interface import SourceLostError

OPEN_SECONDS: Final = 5.0
"""A camera that has not answered after this time counts as unreachable."""

READ_SECONDS: Final = 5.0
"""A camera that has sent nothing for this time counts as lost."""


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


def open_capture(target: str) -> cv2.VideoCapture:
    """Return FFmpeg's capture of a file or URL; the caller checks whether it is open."""
    quiet_opencv()
    return cv2.VideoCapture(
        target,
        cv2.CAP_FFMPEG,
        [
            cv2.CAP_PROP_N_THREADS, 1,  # frame threads would each hold a picture back
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(OPEN_SECONDS * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(READ_SECONDS * 1000),
        ],
    )  # fmt: skip


def open_device(path: str) -> cv2.VideoCapture:
    """Return the capture of a device such as /dev/video0."""
    quiet_opencv()
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


def require_open(capture: cv2.VideoCapture, message: str) -> cv2.VideoCapture:
    """Return the capture. Raises SourceLostError with the message if it is not open."""
    if not capture.isOpened():
        capture.release()
        raise SourceLostError(message)
    return capture
