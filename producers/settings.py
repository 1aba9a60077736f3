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
