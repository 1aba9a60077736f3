"""Decoding of untrusted picture files to upright RGB JPEGs."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

import sightline.models.image_files  # noqa: F401 - Pillow reads an iPhone's photos with it
from sightline.people.photo_rejections import Reason
from sightline.runtime.errors import PhotoError, SightlineError

MAX_PIXELS = 64_000_000
"""Decoding takes up to 16 bytes per pixel for a moment (WebP), a JPEG about 2."""

MAX_BYTES = 256 * 1024 * 1024
"""Largest file: 64 million pixels of 32 bits, uncompressed."""

_MAX_SIDE_PX = 1920
"""Larger photos are scaled down: no embedder uses more pixels of a face than remain."""

_JPEG_QUALITY = 95

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "AVIF", "HEIF", "TIFF")
"""Pillow's formats; JPEG includes MPO. The rest is refused: for EPS Pillow starts a program."""

_RESIZABLE_MODES = ("L", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes that can be scaled down without conversion, JPEG even while it is decoded."""

_ORIENTATION_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that undoes each EXIF orientation."""

_DECODE_ERRORS = (
    OSError, ValueError, SyntaxError, RuntimeError, EOFError, IndexError, TypeError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip
"""Exceptions of Pillow's readers for damaged files."""

_DECODING = Lock()
"""Lock for one decoding at a time: bounds the memory, and warning filters are process-wide."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An undecoded picture file, and its name in messages."""

    label: str
    data: bytes = field(repr=False)


def read_photo(path: Path) -> Photo:
    """Read a photo file without decoding it. Raises SightlineError, PhotoError IMAGE_TOO_LARGE."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PhotoError(Reason.IMAGE_TOO_LARGE, f"{path}: the file is too large for a photo")
        return Photo(str(path), path.read_bytes())
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error


def to_upright_jpeg(photo: Photo) -> bytes:
    """Decode a photo to an upright RGB JPEG without metadata, its longer side 1920 px at most.

    Raises PhotoError: INVALID_IMAGE_FORMAT, IMAGE_TOO_LARGE, ANIMATED.
    """
    if not photo.data:
        raise PhotoError(Reason.INVALID_IMAGE_FORMAT, f"{photo.label}: the file is empty")
    with _DECODING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged metadata, and sizes that are checked below
        upright = _decoded(photo)
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def _decoded(photo: Photo) -> Image.Image:
    try:
        with Image.open(io.BytesIO(photo.data), formats=_FORMATS) as picture:
            _check(picture, photo.label)
            small = _flattened(_shrunk(picture))
            turn = _ORIENTATION_TRANSPOSE.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
            return small.transpose(turn) if turn is not None else small
    except Image.DecompressionBombError:
        raise _too_large(photo.label) from None
    except UnidentifiedImageError:
        raise PhotoError(
            Reason.INVALID_IMAGE_FORMAT,
            f"{photo.label}: this is no picture that can be read; give a JPEG or PNG",
        ) from None
    except _DECODE_ERRORS as error:
        raise PhotoError(
            Reason.INVALID_IMAGE_FORMAT, f"{photo.label}: the picture is damaged: {_line(error)}"
        ) from None


def _check(picture: Image.Image, label: str) -> None:
    """Refuse a picture by its header, before anything is decoded."""
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(label)
    # A telephone's files hold the photo first, and depth maps and the like after it.
    if picture.format not in ("MPO", "HEIF") and getattr(picture, "n_frames", 1) > 1:
        raise PhotoError(
            Reason.ANIMATED,
            f"{label}: there are {getattr(picture, 'n_frames', 1)} pictures in it; give one photo",
        )


def _too_large(label: str) -> PhotoError:
    return PhotoError(
        Reason.IMAGE_TOO_LARGE,
        f"{label}: more than {MAX_PIXELS // 1_000_000} million pixels; make the photo smaller",
    )


def _shrunk(picture: Image.Image) -> Image.Image:
    small = picture if picture.mode in _RESIZABLE_MODES else _eight_bits(picture)
    small.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX), reducing_gap=1.0)
    return small


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Convert to a mode that Pillow scales down well: L or RGBA."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        # Pillow would clip the values at 255.
        return Image.fromarray((np.asarray(picture) // 256).clip(0, 255).astype(np.uint8))
    return picture.convert("RGBA")


def _flattened(picture: Image.Image) -> Image.Image:
    """Convert to RGB, transparent pixels on white as in a viewer."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    paper = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(paper, picture).convert("RGB")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
