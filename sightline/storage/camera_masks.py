"""Masks of a camera: polygons of its picture in which motion, people or faces do not count.

Coordinates are fractions of the picture as it is published, turned if the camera is mounted
sideways: (0, 0) is its upper left corner and (1, 1) its lower right one.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sightline.runtime.errors import SightlineError

MaskKind = Literal["motion", "people", "faces"]

Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
"""x and y, 0 to 1."""

Polygon = tuple[Point, ...]

MAX_MASKS: Final = 16
MAX_POINTS: Final = 32

_KINDS: Final[tuple[MaskKind, ...]] = ("motion", "people", "faces")
_SYNTAX: Final = "such as faces:0.1,0.1,0.3,0.1,0.3,0.4"
_NUMBER: Final = re.compile(r"[0-9]{0,4}\.?[0-9]{0,12}")


class CameraMask(BaseModel):
    """A polygon, and the kinds of things in it that do not count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[MaskKind, ...] = Field(min_length=1, max_length=len(_KINDS))
    points: Polygon = Field(min_length=3, max_length=MAX_POINTS)

    @field_validator("kinds")
    @classmethod
    def _in_order(cls, kinds: tuple[MaskKind, ...]) -> tuple[MaskKind, ...]:
        return tuple(kind for kind in _KINDS if kind in kinds)

    def __str__(self) -> str:
        numbers = (f"{value:g}" for point in self.points for value in point)
        return f"{'+'.join(self.kinds)}:{','.join(numbers)}"


def parse_mask(text: str) -> CameraMask:
    """Parse `KIND[+KIND...]:X,Y,X,Y,X,Y...`; `str` of the mask is the text again.

    Raises:
        SightlineError: The text is no mask.
    """
    kinds, colon, numbers = text.replace(" ", "").partition(":")
    named = kinds.split("+")
    valid: list[MaskKind] = [kind for kind in _KINDS if kind in named]
    if not colon or not set(named) <= set(_KINDS):
        raise _error(text, f"is not of motion, people or faces, {_SYNTAX}")
    values = numbers.split(",")
    if not all(re.search("[0-9]", value) and _NUMBER.fullmatch(value) for value in values):
        raise _error(text, f"has something else than numbers between 0 and 1, {_SYNTAX}")
    coordinates = [float(value) for value in values]
    if len(coordinates) % 2:
        raise _error(text, "has an x without a y")
    points = tuple(zip(coordinates[::2], coordinates[1::2], strict=True))
    if not 3 <= len(points) <= MAX_POINTS:
        raise _error(text, f"has {len(points)} points; 3 to {MAX_POINTS} make a mask")
    if max(coordinates) > 1:
        raise _error(text, "reaches over the picture: fractions are 0 to 1")
    return CameraMask(kinds=tuple(valid), points=points)


def polygons_of(masks: tuple[CameraMask, ...], kind: MaskKind) -> list[Polygon]:
    """Return the polygons of the masks of a kind."""
    return [mask.points for mask in masks if kind in mask.kinds]


def _error(text: str, problem: str) -> SightlineError:
    return SightlineError(f"--mask {text[:60]!r} {problem}")
