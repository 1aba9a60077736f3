"""A photo of one person: read, turned upright, checked and embedded."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sightline.errors import SightlineError
from sightline.settings import Settings
from sightline.vision.packs import ModelPack
from sightline.vision.quality import assess

_LONGEST_SIDE = 1920
"""Pixels; larger photos are shrunk: no embedder looks at more of a face than this leaves."""

_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Look:
    """One photo of a person, and the template made of it."""

    jpeg: bytes
    vector: NDArray[np.float32]  # (d,), unit length
    quality: float  # 0 to 1


def read_photo(path: Path) -> bytes:
    """A photo file as an upright RGB JPEG without its metadata. Raises SightlineError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SightlineError(f"{path}: {error.strerror}") from error
    return normalised(data, str(path))


def normalised(data: bytes, label: str) -> bytes:
    """Any picture that Pillow reads as upright RGB JPEG. Raises SightlineError naming `label`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SightlineError(f"{label}: the photo has too many pixels; make it smaller") from None
    except UnidentifiedImageError:
        raise SightlineError(f"{label}: this is no picture that can be read") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise SightlineError(f"{label}: the picture is damaged: {error}") from None
    upright.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


def look(jpeg: bytes, label: str, pack: ModelPack, settings: Settings) -> Look:
    """The look in a photo of exactly one face that is good enough.

    Raises SightlineError that names the photo and says what was found in it.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SightlineError(f"{label}: the stored photo is damaged")
    pixels = np.asarray(image, dtype=np.uint8)
    faces = pack.faces.detect(pixels)
    if len(faces) != 1:
        found = f"{len(faces)} faces" if faces else "no face"
        raise SightlineError(f"{label}: {found} found; a photo has to show exactly one")
    quality = assess(pixels, faces[0])
    refusal = quality.refusal(settings.vision.min_face_px, settings.vision.min_quality)
    if refusal:
        raise SightlineError(f"{label}: the face is not good enough: {refusal}")
    return Look(jpeg, pack.embedder.embed(pixels, faces[0]), float(quality.overall))
