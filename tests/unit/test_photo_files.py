"""Damaged picture files are refused in words, whatever is wrong with their bytes."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline.models.quality import FaceQuality
from sightline.people.photo_rejections import Reason
from sightline.people.photos import MIN_FACE_PX, photo_refusal
from sightline.people.picture_files import Photo, to_upright_jpeg
from sightline.runtime.errors import PhotoError

KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "AVIF", "TIFF")


def whole(kind: str) -> bytes:
    levels = np.linspace(0, 255, 48 * 40 * 3).reshape(48, 40, 3).astype(np.uint8)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(levels).save(out, kind, **({"exif": exif} if kind == "JPEG" else {}))
    return out.getvalue()


WHOLE = {kind: whole(kind) for kind in KINDS} | {
    "HEIF": (Path(__file__).parents[1] / "models" / "person.heic").read_bytes()
}


@pytest.mark.slow
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
)
@settings(max_examples=300)
def test_a_damaged_file_is_a_picture_or_a_refusal(
    kind: str, cut: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(WHOLE[kind])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    photo = Photo("photo", bytes(data[: max(1, round(len(data) * cut))]))
    try:
        jpeg = to_upright_jpeg(photo)
    except PhotoError as error:
        assert error.reason in {
            Reason.INVALID_IMAGE_FORMAT, Reason.IMAGE_TOO_LARGE, Reason.ANIMATED,
        }  # fmt: skip
        assert str(error).startswith("photo: ")
        assert "\n" not in str(error)
        assert len(str(error)) < 250
    else:
        assert jpeg.startswith(b"\xff\xd8")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    """A dark corner that EXIF says is on the top left ends up there."""
    upright = np.full((60, 40), 220, np.uint8)
    upright[:20, :15] = 10
    # How a camera would have stored it: what undoes the turn that the standard asks for.
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(out, "JPEG", exif=exif, quality=95)
    with Image.open(io.BytesIO(to_upright_jpeg(Photo("turned", out.getvalue())))) as picture:
        grey = np.asarray(picture.convert("L"))
    assert grey.shape == (60, 40)
    assert grey[:15, :10].mean() < 40
    assert min(grey[40:].mean(), grey[:, 25:].mean()) > 200


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (FaceQuality(MIN_FACE_PX - 1, 0.9, 0.9, 0.9, 0.9), Reason.SMALL_BOUNDING_BOX),
        (FaceQuality(90, 0.9, 0.9, 0.9, 0.9, inside=0.8), Reason.LOW_FACE_QUALITY),
        (FaceQuality(90, 0.9, 0.9, 0.9, 0.9, brightness=0.05), Reason.LOW_BRIGHTNESS),
        (FaceQuality(90, 0.9, 0.9, 0.9, 0.9, brightness=0.95), Reason.LOW_FACE_QUALITY),
        (FaceQuality(90, 0.1, 0.9, 0.9, 0.9), Reason.LOW_SHARPNESS),
        (FaceQuality(90, 0.9, 0.9, 0.4, 0.9), Reason.LOW_CONFIDENCE),
        (FaceQuality(90, 0.9, 0.1, 0.9, 0.9), Reason.EXTREME_POSE),
        (FaceQuality(90, 0.9, 0.9, 0.9, 0.9), None),
    ],
)
def test_each_measure_has_its_word(quality: FaceQuality, reason: Reason | None) -> None:
    refused = photo_refusal(quality)
    assert (refused[0] if refused else None) == reason
