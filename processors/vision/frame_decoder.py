"""Decoding of a frame's JPEG to pixels; damaged pictures are refused, not repaired."""

import io
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas import sightline_pb2 as pb
from sightline.models.interface import BGRImage
from sightline.runtime.errors import InvalidRecord

_MAX_PIXELS = 40_000_000
"""Above an 8K camera: a small file can claim to be a picture that fills the memory."""

_END_OF_IMAGE = b"\xff\xd9"
"""The last marker of a JPEG."""


class _ImageSize(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def decode_picture(frame: pb.Frame) -> BGRImage:
    """Return the pixels of a frame, (height, width, 3), blue first.

    Raises:
        InvalidRecord: `bad_jpeg` for a picture that is corrupt or cut off, `bad_size` for one that
            is too large or has another size than the frame says.
    """
    size = _declared_size(frame.jpeg)
    if size.width * size.height > _MAX_PIXELS:
        raise InvalidRecord("bad_size", f"a picture of {size.width}x{size.height}")
    if (frame.width or frame.height) and size != (frame.width, frame.height):
        raise InvalidRecord(
            "bad_size",
            f"a picture of {size.width}x{size.height} in a frame of {frame.width}x{frame.height}",
        )
    # OpenCV makes a picture of half a file, grey where data is missing.
    if not frame.jpeg.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise InvalidRecord("bad_jpeg", f"{len(frame.jpeg)} bytes without an end")
    try:
        # EXIF orientation is ignored: a turned picture would not have the frame's size.
        picture = cv2.imdecode(
            np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise InvalidRecord("bad_jpeg", str(error)) from error
    if picture is None or picture.shape[:2] != (size.height, size.width):
        raise InvalidRecord("bad_jpeg", f"{len(frame.jpeg)} bytes do not decode")
    return np.asarray(picture, np.uint8)


def _declared_size(jpeg: bytes) -> _ImageSize:
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            return _ImageSize(*image.size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidRecord("bad_size", str(error)) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InvalidRecord("bad_jpeg", str(error)) from error
