"""Folders of images: their files by name, or by the time when they were taken."""

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from producers.film import FilmPicture, as_fps
from producers.source_interface import SourceLostError, as_image
from sightline.models.image_files import HEIF_SUFFIXES, is_image
from sightline.models.interface import BGRImage
from sightline.runtime.clock import US_PER_SECOND, to_us


class ImageFolder:
    """The images of a folder.

    They are ordered by file name, and follow each other at a frame rate. With `by_exif` an image
    has the time of its EXIF data, if that is before `before_us`, and they are ordered by time; an
    image without one follows the image before it by name.
    """

    def __init__(self, folder: Path, fps: float | None, before_us: int, *, by_exif: bool) -> None:
        try:
            files = sorted(folder.iterdir())
        except OSError as error:
            raise SourceLostError(f"{folder}: {error.strerror}") from error
        paths = [path for path in files if is_image(path)]
        if not paths:
            raise SourceLostError(f"{folder}: no images in the folder")
        self.fps = as_fps(fps)
        taken_us = [exif_time_us(path, before_us) for path in paths] if by_exif else []
        first_us = next((time_us for time_us in taken_us if time_us is not None), None)
        self.start_us: int | None = None
        offsets_us = [self._due_us(number) for number in range(len(paths))]
        if first_us is not None:
            times_us = _filled(taken_us, first_us, round(US_PER_SECOND / self.fps))
            order = sorted(range(len(paths)), key=times_us.__getitem__)
            paths = [paths[index] for index in order]
            self.start_us = times_us[order[0]]
            offsets_us = _increasing([times_us[index] - self.start_us for index in order])
        self._images = list(zip(paths, offsets_us, strict=True))
        self.length_us = offsets_us[-1] + round(US_PER_SECOND / self.fps)

    def _due_us(self, number: int) -> int:
        return number * US_PER_SECOND * self.fps.denominator // self.fps.numerator

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the images, played at the frame rate whenever they were taken."""
        for number, (path, offset_us) in enumerate(self._images):
            yield FilmPicture(_decoded(path), offset_us, self._due_us(number))

    def close(self) -> None:
        """Do nothing: no file is held open."""


def exif_time_us(path: Path, before_us: int) -> int | None:
    """Return when a photo was taken (µs since the epoch) by its EXIF data; None if unknown.

    A time without a zone is local time. One from `before_us` on counts as unknown.
    """
    try:
        with Image.open(path) as image:
            exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        text = f"{exif[ExifTags.Base.DateTimeOriginal]}".strip("\0 ")
        taken = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - its zone follows
        zone = str(exif.get(ExifTags.Base.OffsetTimeOriginal, "")).strip("\0 ")
        fraction = str(exif.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")
        taken = datetime.fromisoformat(f"{taken.isoformat()}{zone}") if zone else taken.astimezone()
        micros = int(fraction[:6].ljust(6, "0")) if fraction.isdecimal() else 0
        taken_us = to_us(taken) + micros
    except Exception:  # noqa: BLE001 - Pillow's readers raise whatever damaged metadata make them
        return None
    return taken_us if 0 < taken_us < before_us else None


def _filled(taken_us: list[int | None], first_us: int, interval_us: int) -> list[int]:
    """Return a time for every image: one without follows the one before it."""
    times_us: list[int] = []
    for time_us in taken_us:
        previous_us = times_us[-1] if times_us else first_us - interval_us
        times_us.append(previous_us + interval_us if time_us is None else time_us)
    return times_us


def _increasing(offsets_us: list[int]) -> list[int]:
    """Return sorted offsets, of which equal ones are moved apart by 1 µs."""
    for index in range(1, len(offsets_us)):
        offsets_us[index] = max(offsets_us[index], offsets_us[index - 1] + 1)
    return offsets_us


def _decoded(path: Path) -> BGRImage | None:
    """Return the image (H x W x 3, BGR); None for a broken one."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    if not data.size:
        return None
    if path.suffix.lower() in HEIF_SUFFIXES:
        return _decoded_heif(data.tobytes())
    return as_image(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _decoded_heif(data: bytes) -> BGRImage | None:
    """Return an image of an iPhone, which OpenCV does not read."""
    try:
        with Image.open(io.BytesIO(data), formats=["HEIF"]) as image:
            rgb = np.asarray(image.convert("RGB"), np.uint8)
    except Exception:  # noqa: BLE001 - damaged files make its reader raise anything
        return None
    return np.ascontiguousarray(rgb[:, :, ::-1])
