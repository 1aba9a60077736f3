"""Contact sheet: a picture of every row of the access log, with its identity."""

import io
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from ops.demo.report import UNKNOWN, identity_text
from ops.demo.results import AccessLogOutput, PipelineOutput
from ops.demo.truth import Verdict
from ops.terminal import display_zone
from sightline.runtime.errors import SightlineError
from sightline.storage.objects import ObjectStore

_FACE_PX = 180
_TEXT_PX = 74
_GAP_PX = 12
_COLUMNS = 6
_FONT_PX = 15

_PAPER, _INK, _GREY = "#ffffff", "#202020", "#d0d0d0"
_RIGHT, _WRONG = "#1b8a3a", "#c62828"


def write_sheet(
    path: Path, output: PipelineOutput, verdict: Verdict | None, store: ObjectStore
) -> None:
    """Write a JPEG with a tile for each row; with a verdict, framed green or red."""
    rows = max(1, ceil(len(output.rows) / _COLUMNS))
    width, height = _FACE_PX + _GAP_PX, _FACE_PX + _TEXT_PX + _GAP_PX
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP_PX, rows * height + _GAP_PX), _PAPER)
    for number, row in enumerate(output.rows):
        down, across = divmod(number, _COLUMNS)
        tile = _tile(row, verdict, _picture(row, store))
        sheet.paste(tile, (_GAP_PX + across * width, _GAP_PX + down * height))
    sheet.save(path, quality=90)


def _picture(row: AccessLogOutput, store: ObjectStore) -> Image.Image:
    if row.snapshot:
        try:
            with Image.open(io.BytesIO(store.get(row.snapshot))) as picture:
                picture.thumbnail((_FACE_PX, _FACE_PX))
                return picture.convert("RGB")
        except (SightlineError, UnidentifiedImageError):
            pass  # shown as an empty tile
    return Image.new("RGB", (_FACE_PX, _FACE_PX), _GREY)


def _tile(row: AccessLogOutput, verdict: Verdict | None, picture: Image.Image) -> Image.Image:
    tile = Image.new("RGB", (_FACE_PX, _FACE_PX + _TEXT_PX), _PAPER)
    tile.paste(picture, ((_FACE_PX - picture.width) // 2, (_FACE_PX - picture.height) // 2))
    draw = ImageDraw.Draw(tile)
    at = display_zone().local(datetime.fromtimestamp(row.seen_at, UTC))
    lines = [identity_text(row.identity), f"{row.camera}, {at:%H:%M:%S}"]
    colour = _GREY
    if row.identity is None:
        lines.append(row.reason.partition(",")[0])
    elif verdict is not None:
        owner = verdict.owners.get(row.track_id)
        expected = next((line for line in verdict.lines if line.person.name == owner), None)
        name = expected.person.name if expected and expected.person.enrolled else ""
        colour = _RIGHT if expected and row.identity.name == name else _WRONG
        lines.insert(1, f"is {name or UNKNOWN}" if expected else "is nobody")
    draw.rectangle((0, 0, _FACE_PX - 1, _FACE_PX - 1), outline=colour, width=4)
    font = ImageFont.load_default(_FONT_PX)
    for number, text in enumerate(lines):
        draw.text((4, _FACE_PX + 6 + number * (_FONT_PX + 6)), text, fill=_INK, font=font)
    return tile
