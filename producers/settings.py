"""Settings of the producers."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class CaptureSettings(ServiceSettings):
    """Reading of cameras."""

    buffer_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=0,
        description="most bytes of each camera's frames on disk while Kafka is unreachable; beyond"
        " them the oldest are dropped",
    )
    still_fps: float = Field(
        2.0,
        gt=0,
        le=240,
        description="frames published in a second while nothing moves and somebody or something"
        " that came into the picture stands there; above 1 / evidence.lost_seconds, or tracks end",
    )
    still_seconds: float = Field(
        5400.0,
        gt=0,
        description="seconds without any change after which what came into the picture and stands"
        " there is background: a chair, not a person",
    )
    event_seconds: float = Field(
        43_200.0,
        gt=0,
        description="longest motion event in seconds: it is split there, and what stands still"
        " becomes background",
    )
