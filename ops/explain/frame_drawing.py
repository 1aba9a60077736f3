"""A frame with the boxes of a track and its face drawn in."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sightline.runtime.errors import InfrastructureError, SightlineError
from sightline.runtime.private_files import open_private

Box = Sequence[float]
"""x1, y1, x2, y2 in pixels of the frame."""

_TRACK_BGR = (255, 160, 0)
_FACE_BGR = (0, 220, 255)

_SIDE_PX_PER_LINE_PX = 400
"""Pixels of the shorter side for one pixel of line width."""


def write(path: Path, jpeg: bytes, track_box: Box | None, face_box: Box | None) -> None:
    """Write a frame as JPEG with the box of a track (blue) and of its face (yellow), mode 0600.

    Raises SightlineError for a picture that cannot be decoded, InfrastructureError if it cannot be
    written.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SightlineError("the frame is there, but its picture cannot be read")
    width = 1 + min(image.shape[:2]) // _SIDE_PX_PER_LINE_PX
    for box, colour in ((track_box, _TRACK_BGR), (face_box, _FACE_BGR)):
        if box is not None:
            x1, y1, x2, y2 = (round(side) for side in box)
            cv2.rectangle(image, (x1, y1), (x2, y2), colour, width)
    is_encoded, encoded = cv2.imencode(".jpg", image)
    if not is_encoded:
        raise InfrastructureError(f"the picture for {path} cannot be encoded")
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(encoded.tobytes())
    except OSError as error:
        raise SightlineError(f"cannot write {path}: {error.strerror}; give --output") from error
