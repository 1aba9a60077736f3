"""Trying a camera out: whether it answers, and with what."""

import time
from typing import Any, Final

from producers.pictures import Picture, Source, SourceLostError
from producers.sources import open_source
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.runtime.errors import SightlineError
from sightline.storage.cameras import NewCamera

_PICTURES: Final = 10
_SECONDS: Final = 5.0


def try_out(camera: NewCamera, clock: Clock | None = None) -> dict[str, Any]:
    """Read a few pictures: size in pixels, frames per second, time to the first one.

    Raises SightlineError with the reason when there are none.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    try:
        source = open_source(
            camera.uri.get_secret_value(),
            camera.settings.model_copy(update={"loop": False}),
            clock,
            time.sleep,
        )
        try:
            pictures, first_after = _read(source, clock, began)
        finally:
            source.close()
    except SourceLostError as error:
        raise SightlineError(f"camera {camera.camera_id}: {error}") from error
    shown = next((one.image for one in pictures if one.image is not None), None)
    if shown is None:
        raise SightlineError(f"camera {camera.camera_id}: no picture that can be decoded")
    return {
        "width": shown.shape[1],
        "height": shown.shape[0],
        "fps": _rate(pictures),
        "pictures": len(pictures),
        "first_picture_ms": round(first_after * 1000),
        "first_captured_at": to_datetime(pictures[0].captured_at_us),
    }


def _read(source: Source, clock: Clock, began: float) -> tuple[list[Picture], float]:
    pictures: list[Picture] = []
    first_after = 0.0
    while len(pictures) < _PICTURES and clock.monotonic() - began < _SECONDS + first_after:
        try:
            picture = source.read()
        except EOFError:
            break
        if picture is not None:
            first_after = first_after or clock.monotonic() - began
            pictures.append(picture)
    return pictures, first_after


def _rate(pictures: list[Picture]) -> float | None:
    if len(pictures) < 2:
        return None
    captured = sum(1 + one.skipped for one in pictures[1:])
    seconds = (pictures[-1].captured_at_us - pictures[0].captured_at_us) / 1e6
    return round(captured / seconds, 2) if seconds > 0 else None
