"""Probe a camera: resolution, frame rate and time to the first picture."""

import time
from typing import Any, Final

from producers.camera_credentials import DEFAULT_SECRETS
from producers.source_interface import CapturedPicture, Source, SourceLostError, rotated
from producers.sources import open_source
from sightline.runtime.clock import Clock, SystemClock, to_datetime
from sightline.runtime.errors import SightlineError
from sightline.runtime.settings.groups import SecretsSettings
from sightline.storage.cameras import NewCamera

_MAX_PICTURES: Final = 10
_READ_SECONDS: Final = 5.0


def probe_camera(
    camera: NewCamera, clock: Clock | None = None, secrets: SecretsSettings = DEFAULT_SECRETS
) -> dict[str, Any]:
    """Read a few pictures; return width, height, fps and the time to the first one (ms).

    Raises SightlineError with the reason when there is no picture.
    """
    clock = clock or SystemClock()
    started_at = clock.monotonic()
    try:
        source = open_source(
            camera.uri.get_secret_value(),
            camera.settings.model_copy(update={"loop": False}),
            clock,
            time.sleep,
            secrets=secrets,
        )
        try:
            pictures, first_after = _read(source, clock, started_at, camera.settings.timeout)
        finally:
            source.close()
    except SourceLostError as error:
        raise SightlineError(f"camera {camera.camera_id}: {error}") from error
    image = next((picture.image for picture in pictures if picture.image is not None), None)
    if image is None:
        raise SightlineError(f"camera {camera.camera_id}: no picture that can be decoded")
    image = rotated(image, camera.settings.rotate)
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "fps": _rate(pictures),
        "pictures": len(pictures),
        "first_picture_ms": round(first_after * 1000),
        "first_captured_at": to_datetime(pictures[0].captured_at_us),
    }


def _read(
    source: Source, clock: Clock, started_at: float, timeout_seconds: float
) -> tuple[list[CapturedPicture], float]:
    pictures: list[CapturedPicture] = []
    first_after = 0.0
    while len(pictures) < _MAX_PICTURES and clock.monotonic() - started_at < (
        _READ_SECONDS + first_after if pictures else max(_READ_SECONDS, timeout_seconds)
    ):
        try:
            picture = source.read()
        except EOFError:
            break
        if picture is not None:
            first_after = first_after or clock.monotonic() - started_at
            pictures.append(picture)
    return pictures, first_after


def _rate(pictures: list[CapturedPicture]) -> float | None:
    if len(pictures) < 2:
        return None
    captured = sum(1 + picture.skipped for picture in pictures[1:])
    seconds = (pictures[-1].captured_at_us - pictures[0].captured_at_us) / 1e6
    return round(captured / seconds, 2) if seconds > 0 else None
