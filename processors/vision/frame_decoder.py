"""Decoding of a frame's JPEG to pixels; damaged pictures are refused, not repaired."""

import io

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from schemas import sightline_pb2 as pb
from sightline.models.interface import BGRImage
from sightline.runtime.errors import PoisonRecord

_MAX_PIXELS = 40_000_000
"""Above an 8K camera: a small file can claim to be a picture that fills the memory."""

_END_OF_IMAGE = b"\xff\xd9"
"""The last marker of a JPEG."""


def decode_picture(frame: pb.Frame) -> BGRImage:
    """Return the pixels of a frame, (height, width, 3), blue first.

    Raises:
        InvalidRecord: `bad_jpeg` for a picture that is corrupt or cut off, `bad_size` for one that
            is too large or has another size than the frame says.
    """
    width, height = _declared_size(frame.jpeg)
    if width * height > _MAX_PIXELS:
        raise PoisonRecord("bad_size", f"a picture of {width}x{height}")
    if (frame.width or frame.height) and (width, height) != (frame.width, frame.height):
        raise PoisonRecord(
            "bad_size",
            f"a picture of {width}x{height} in a frame of {frame.width}x{frame.height}",
        )
    # OpenCV makes a picture of half a file, grey where data is missing.
    if not frame.jpeg.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise PoisonRecord("bad_jpeg", f"{len(frame.jpeg)} bytes without an end")
    try:
        # EXIF orientation is ignored: a turned picture would not have the frame's size.
        picture = cv2.imdecode(
            np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:
        raise PoisonRecord("bad_jpeg", str(error)) from error
    if picture is None or picture.shape[:2] != (height, width):
        raise PoisonRecord("bad_jpeg", f"{len(frame.jpeg)} bytes do not decode")
    return np.asarray(picture, np.uint8)


def _declared_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            return image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PoisonRecord("bad_size", str(error)) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise PoisonRecord("bad_jpeg", str(error)) from error
