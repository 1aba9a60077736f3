"""OpenCV's captures, opened so that they are quiet, single-threaded and give up in time."""

import os
from typing import Final

import cv2

from producers.pictures import SourceLostError

OPEN_SECONDS: Final = 5.0
"""A camera that has not answered by then is away."""

READ_SECONDS: Final = 5.0
"""A camera that has sent nothing for so long is lost."""


def quiet_opencv() -> None:
    """One thread for each camera, and no log of OpenCV's own: it would print passwords."""
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Else a host that hangs while it is opened holds up the opening of every other camera.
    os.environ.setdefault("OPENCV_FFMPEG_IS_THREAD_SAFE", "1")
    # UDP loses packets, which become grey pictures. Not "nobuffer": these options hold for films
    # too, and it would lose their first frames.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")


def open_capture(target: str) -> cv2.VideoCapture:
    """FFmpeg's capture of a file or URL; whether it is open is for the caller to ask."""
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
    """The capture of a device such as /dev/video0."""
    quiet_opencv()
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


def require_open(capture: cv2.VideoCapture, message: str) -> cv2.VideoCapture:
    """The capture. Raises SourceLostError with the message where it is not open."""
    if not capture.isOpened():
        capture.release()
        raise SourceLostError(message)
    return capture
