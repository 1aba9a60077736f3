"""The contact sheet: a picture of every row of the access log, with who it is said to be."""

import io
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from ops.demo.report import UNKNOWN, said
from ops.demo.results import Found, Row
from ops.demo.truth import Verdict
from sightline.runtime.errors import SightlineError
from sightline.storage.objects import ObjectStore

_FACE = 180  # pixels
_TEXT = 74
_GAP = 12
_COLUMNS = 6
_FONT_PX = 15

_PAPER, _INK, _GREY = "#ffffff", "#202020", "#d0d0d0"
_RIGHT, _WRONG = "#1b8a3a", "#c62828"


def write_sheet(path: Path, found: Found, verdict: Verdict | None, store: ObjectStore) -> None:
    """Write a JPEG with a tile for each row; with a verdict, framed green or red."""
    rows = max(1, ceil(len(found.rows) / _COLUMNS))
    width, height = _FACE + _GAP, _FACE + _TEXT + _GAP
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP, rows * height + _GAP), _PAPER)
    for number, row in enumerate(found.rows):
        down, across = divmod(number, _COLUMNS)
        tile = _tile(row, verdict, _picture(row, store))
        sheet.paste(tile, (_GAP + across * width, _GAP + down * height))
    sheet.save(path, quality=90)


def _picture(row: Row, store: ObjectStore) -> Image.Image:
    if row.snapshot:
        try:
            with Image.open(io.BytesIO(store.get(row.snapshot))) as picture:
                picture.thumbnail((_FACE, _FACE))
                return picture.convert("RGB")
        except (SightlineError, UnidentifiedImageError):
            pass  # shown as an empty tile
    return Image.new("RGB", (_FACE, _FACE), _GREY)


def _tile(row: Row, verdict: Verdict | None, picture: Image.Image) -> Image.Image:
    tile = Image.new("RGB", (_FACE, _FACE + _TEXT), _PAPER)
    tile.paste(picture, ((_FACE - picture.width) // 2, (_FACE - picture.height) // 2))
    draw = ImageDraw.Draw(tile)
    at = datetime.fromtimestamp(row.seen_at, UTC).astimezone()
    lines = [said(row.identity), f"{row.camera}, {at:%H:%M:%S}"]
    colour = _GREY
    if verdict is not None:
        who = verdict.owners.get(row.track_id)
        expected = next((line for line in verdict.lines if line.person.name == who), None)
        name = expected.person.name if expected and expected.person.enrolled else ""
        colour = _RIGHT if expected and row.identity.name == name else _WRONG
        lines.insert(1, f"is {name or UNKNOWN}" if expected else "is nobody")
    draw.rectangle((0, 0, _FACE - 1, _FACE - 1), outline=colour, width=4)
    font = ImageFont.load_default(_FONT_PX)
    for number, text in enumerate(lines):
        draw.text((4, _FACE + 6 + number * (_FONT_PX + 6)), text, fill=_INK, font=font)
    return tile
