"""Which photo is refused with which word, with real faces: no bad photo enters the gallery."""

import io
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from ops.demo.demo_persons import DEMO_PERSONS, enrolment_photo
from sightline.models.interface import ModelPack
from sightline.models.verify import sample_picture
from sightline.people.photo_rejections import Reason
from sightline.people.photos import template_of_photo
from sightline.people.picture_files import Photo
from sightline.runtime.errors import PhotoError
from sightline.runtime.settings import Settings
from tests.loaded import load_pack_of

pytestmark = pytest.mark.models

DLIB = Settings(pack="dlib")


def person(name: str = "Ana Lima") -> Image.Image:
    """A good portrait, 470 x 550, face of 215 px."""
    member = next(member for member in DEMO_PERSONS if member.name == name)
    return Image.fromarray(cv2.cvtColor(enrolment_photo(member), cv2.COLOR_BGR2RGB))


def file(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(person().transpose(Image.Transpose.ROTATE_90), exif=exif)


def sixteen_bits() -> bytes:
    grey = np.asarray(person().convert("L")).astype(np.uint16) * 257
    return file(Image.fromarray(grey), "PNG")


def animated(kind: str) -> bytes:
    frames = [person(), person("Ella Quist").resize(person().size)]
    return file(frames[0], kind, save_all=True, append_images=frames[1:])


def five_faces() -> Image.Image:
    """Of the six people in a picture the one on the right is cut off."""
    group = Image.fromarray(cv2.cvtColor(sample_picture(), cv2.COLOR_BGR2RGB))
    return group.crop((0, 0, 1080, 886))


def nobody() -> Image.Image:
    noise = np.random.default_rng(0).normal(128, 30, (400, 500, 3)).clip(0, 255)
    return Image.fromarray(noise.astype(np.uint8))


def drawing() -> Image.Image:
    picture = Image.new("RGB", (400, 500), "white")
    pen = ImageDraw.Draw(picture)
    pen.pieslice((70, 50, 330, 260), 180, 360, fill=(50, 30, 20))
    pen.ellipse((80, 120, 320, 420), fill=(240, 200, 170))
    for x in (150, 250):
        pen.ellipse((x - 28, 190, x + 28, 220), fill="white", outline="black", width=3)
        pen.ellipse((x - 11, 194, x + 11, 216), fill=(60, 40, 20))
        pen.arc((x - 36, 160, x + 36, 200), 200, 340, fill="black", width=8)
    pen.line((200, 210, 185, 290, 215, 290), fill=(150, 100, 80), width=5)
    pen.ellipse((150, 330, 250, 365), fill=(190, 60, 60))
    pen.line((150, 347, 250, 347), fill=(90, 20, 20), width=4)
    return picture


def lit(gain: float) -> Image.Image:
    """The portrait in other light, with the noise that a camera adds."""
    noise = np.random.default_rng(0).normal(0, 2, np.asarray(person()).shape)
    pixels = np.asarray(person(), np.float32) * gain + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def blurred() -> Image.Image:
    soft = cv2.GaussianBlur(np.asarray(person()), (0, 0), 14)
    return Image.fromarray(soft)


def tiny() -> Image.Image:
    """A face of 32 px in a picture of usual size."""
    canvas = Image.new("RGB", (380, 380), (120, 130, 140))
    small = person()
    small.thumbnail((70, 82), Image.Resampling.LANCZOS)
    canvas.paste(small, (150, 150))
    return canvas


def cut() -> Image.Image:
    """Half of the face, its other half beyond the edge."""
    whole = person()
    return whole.crop((0, 0, whole.width, round(whole.height * 0.64)))


def sideways() -> Image.Image:
    """The one in the picture of six who looks away."""
    x1, y1, x2, y2 = 848, 17, 1022, 227
    group = cv2.cvtColor(sample_picture()[y1:y2, x1:x2], cv2.COLOR_BGR2RGB)
    return Image.fromarray(group)


@cache
def made(make: Callable[[], bytes]) -> bytes:
    """The file, which is the same for every pack; some take a second to make."""
    return make()


GOOD: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: file(person()),
    "JPEG that is called HEIC": lambda: file(person()),
    "HEIC": (Path(__file__).parent / "person.heic").read_bytes,
    "TIFF": lambda: file(person(), "TIFF"),
    "PNG": lambda: file(person(), "PNG"),
    "WebP": lambda: file(person(), "WEBP", quality=90),
    "AVIF": lambda: file(person(), "AVIF", quality=90),
    "CMYK": lambda: file(person().convert("CMYK")),
    "turned by EXIF": turned,
    "16 bits": sixteen_bits,
    "palette": lambda: file(person().quantize(256), "PNG"),
    "grey": lambda: file(person().convert("L")),
    "see-through": lambda: file(person().convert("RGBA"), "PNG"),
    "50 megapixels": lambda: file(person().resize((6580, 7700))),
}

BAD: dict[str, tuple[Callable[[], bytes], set[Reason]]] = {
    "empty": (lambda: b"", {Reason.INVALID_IMAGE_FORMAT}),
    "text": (lambda: b"no picture at all", {Reason.INVALID_IMAGE_FORMAT}),
    "damaged HEIC": (lambda: b"\0\0\0\x18ftypheic" + bytes(64), {Reason.INVALID_IMAGE_FORMAT}),
    "truncated": (lambda: file(person())[:9000], {Reason.INVALID_IMAGE_FORMAT}),
    "81 megapixels": (
        lambda: file(Image.new("L", (9000, 9000)), "PNG"), {Reason.IMAGE_TOO_LARGE},
    ),
    "400 megapixels": (
        lambda: file(Image.new("1", (20_000, 20_000)), "PNG"), {Reason.IMAGE_TOO_LARGE},
    ),
    "animated GIF": (lambda: animated("GIF"), {Reason.ANIMATED}),
    "animated WebP": (lambda: animated("WEBP"), {Reason.ANIMATED}),
    "animated PNG": (lambda: animated("PNG"), {Reason.ANIMATED}),
    "no face": (lambda: file(nobody()), {Reason.NO_FACE}),
    "on its side": (
        lambda: file(person().transpose(Image.Transpose.ROTATE_90)),
        {Reason.NO_FACE, Reason.LOW_CONFIDENCE, Reason.EXTREME_POSE},
    ),
    "upside down": (
        lambda: file(person().transpose(Image.Transpose.ROTATE_180)),
        {Reason.NO_FACE, Reason.LOW_CONFIDENCE, Reason.EXTREME_POSE},
    ),
    "one pixel": (lambda: file(Image.new("RGB", (1, 1))), {Reason.NO_FACE}),
    "one line": (lambda: file(Image.new("RGB", (60_000, 1))), {Reason.NO_FACE}),
    "five faces": (lambda: file(five_faces()), {Reason.EXCEEDS_MAX_FACES}),
    # One detector takes these for faces and the other does not.
    "a drawing": (lambda: file(drawing()), {Reason.NO_FACE, Reason.LOW_FACE_QUALITY}),
    "too dark": (lambda: file(lit(0.13)), {Reason.LOW_BRIGHTNESS}),
    "too light": (lambda: file(lit(2.5)), {Reason.LOW_FACE_QUALITY}),
    "blurred": (lambda: file(blurred()), {Reason.LOW_SHARPNESS, Reason.NO_FACE}),
    "small": (lambda: file(tiny()), {Reason.SMALL_BOUNDING_BOX}),
    "cut": (lambda: file(cut()), {Reason.LOW_FACE_QUALITY}),
    "turned away": (lambda: file(sideways()), {Reason.EXTREME_POSE}),
}  # fmt: skip


def check(pack: ModelPack, settings: Settings, good: Collection[str]) -> None:
    """Every photo gives a template or its reason."""
    remedies = {"on its side": "turn it to the right", "upside down": "is upside down"}
    reference = template_of_photo(
        Photo("reference", file(person(), "PNG")), pack, settings
    ).embedding
    for what in good:
        photo = Photo(f"{what}.heic", made(GOOD[what]))
        looked_at = template_of_photo(photo, pack, settings)
        assert float(looked_at.embedding @ reference) > 0.9, what
        with Image.open(io.BytesIO(looked_at.jpeg)) as stored:
            assert (stored.format, stored.mode, max(stored.size) <= 1920) == ("JPEG", "RGB", True)
            assert not stored.getexif()
            assert stored.height > stored.width, what
    for what, (make, reasons) in BAD.items():
        with pytest.raises(PhotoError) as caught:
            template_of_photo(Photo(what, made(make)), pack, settings)
        assert caught.value.reason in reasons, (what, str(caught.value))
        assert str(caught.value).startswith(f"{what}: "), what
        assert "\n" not in str(caught.value)
        assert remedies.get(what, "") in str(caught.value), what


def test_with_the_pack_of_the_registry() -> None:
    check(load_pack_of(None), DLIB, GOOD)


def test_with_the_shared_models(shared: Path) -> None:
    settings = Settings(models=shared / "models")
    # A file is decoded before a pack is asked: one pack for all formats is enough.
    check(load_pack_of(settings.models), settings, ("JPEG", "grey", "50 megapixels"))


def test_portraits_to_enrol_are_taken(shared: Path) -> None:
    """Real photos of celebrities, and of forty people in all sorts of light and poses."""
    settings = Settings(models=shared / "models")
    pack = load_pack_of(settings.models)
    for name in ("alex-lacamoire.png", "biden.jpg", "lin-manuel-miranda.png", "obama.jpg"):
        template_of_photo(
            Photo(name, (shared / "media/photos" / name).read_bytes()), pack, settings
        )
    with pytest.raises(PhotoError) as caught:
        both = (shared / "media/photos/two_people.jpg").read_bytes()
        template_of_photo(Photo("two people", both), pack, settings)
    assert caught.value.reason == Reason.EXCEEDS_MAX_FACES
    refused = []
    for number in range(1, 41):
        with Image.open(shared / f"media/orl/s{number}_1.pgm") as picture:
            large = picture.resize((230, 280), Image.Resampling.BICUBIC)
        canvas = Image.new("L", (320, 340), 110)
        canvas.paste(large, (45, 30))
        try:
            template_of_photo(Photo(f"s{number}", file(canvas)), pack, settings)
        except PhotoError as error:
            refused.append(str(error))
    assert len(refused) <= 1, refused
