"""Settings of the producers."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class CaptureSettings(ServiceSettings):
    """How cameras are read."""

    buffer_bytes: int = Field(
        1024 * 1024 * 1024,
        ge=0,
        description="of each camera's frames on disk while Kafka is away; then the oldest go",
    )
