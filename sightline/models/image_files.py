"""Files that are images by their names, and the reader of the format that Pillow lacks."""

from pathlib import Path
from typing import Final

from pi_heif import register_heif_opener

register_heif_opener()  # photos of an iPhone

HEIF_SUFFIXES: Final = frozenset({".heic", ".heif"})
"""Formats that OpenCV does not read."""

_SUFFIXES: Final = HEIF_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".avif", ".gif", ".jp2",
    ".pgm", ".ppm", ".pnm", ".tif", ".tiff",
}  # fmt: skip


def is_hidden(path: Path) -> bool:
    """Return whether a name begins with a dot: a Mac leaves "._IMG_1.jpg" beside each photo."""
    return path.name.startswith(".")


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name."""
    return path.suffix.lower() in _SUFFIXES and not is_hidden(path)
