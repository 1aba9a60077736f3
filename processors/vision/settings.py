"""Settings of the service `vision`."""

from pydantic import Field

from sightline.runtime.settings.service import ServiceSettings


class VisionSettings(ServiceSettings):
    """Detection and tracking."""

    batch_frames: int = Field(32, ge=1, le=1024, description="most frames in one transaction")
    batch_seconds: float = Field(
        0.05, gt=0, description="seconds that a transaction waits to fill up"
    )
    shed_above_seconds: float = Field(
        2.0,
        ge=0,
        description="seconds of waiting in Kafka from which frames of live cameras are shed;"
        " 0 is never",
    )
    resume_below_seconds: float = Field(
        0.5, ge=0, description="seconds of waiting from which shedding ends"
    )
    backlog_frames_per_second: float = Field(
        5.0,
        ge=0,
        description="frames of a live camera's second that are processed where Kafka or vision was"
        " away and much footage waits; 0 sheds it",
    )
    detections_per_second: float = Field(
        15.0,
        gt=0,
        description="detections of people in a second; frames between them keep the last boxes",
    )
    face_detections_per_second: float = Field(
        5.0,
        gt=0,
        description="detections in a second with a pack that detects faces alone, which costs more",
    )
