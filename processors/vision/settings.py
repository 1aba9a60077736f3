"""Settings of the service `vision`."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class VisionSettings(ServiceSettings):
    """How frames become tracks."""

    batch_frames: int = Field(32, ge=1, le=1024, description="frames in one transaction at most")
    batch_seconds: float = Field(0.05, gt=0, description="how long a transaction waits to fill up")
    behind_seconds: float = Field(
        2.0,
        ge=0,
        description="a live camera's frames are skipped, evenly, once they are so old; 0 is never",
    )
    caught_up_seconds: float = Field(0.5, ge=0, description="and no more once they are only so old")
    detections_per_second: float = Field(
        15.0,
        gt=0,
        description="how often people are looked for; frames between keep the last boxes",
    )
    face_detections_per_second: float = Field(
        5.0, gt=0, description="the same for a pack that finds faces alone, which cost more"
    )
