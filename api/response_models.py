"""Models of answers: rows as the tables have them; times are ISO 8601, UTC."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["active", "suspended", "left"]
AccessStatus = Literal["authorized", "unauthorized", "unknown"]


class AccessLogRow(BaseModel):
    """A sighting: the identity of a track, and the reasons for the decision."""

    id: UUID
    track_id: int
    person_name: str
    employee_id: UUID | None
    is_authorized: bool
    access_status: AccessStatus
    confidence_score: float = Field(description="0 to 1")
    aws_face_id: str | None
    snapshot_path: str | None
    timestamp: datetime
    entry_point: str | None
    location_x: float | None
    location_y: float | None
    flagged: bool
    notes: str | None
    track_uuid: UUID
    epoch: int
    camera_id: str
    site_id: str
    global_id: int | None = Field(description="null for somebody whom no face identified")
    is_identified: bool
    motion_event_id: UUID | None
    score: float
    threshold: float
    pack: str
    shots: int | None
    runner_up: str | None
    runner_up_score: float | None
    candidate: str | None
    candidate_score: float | None
    wanted_rate: float | None
    calibration: str | None
    gallery_people: int | None
    gallery_revision: int | None
    reason: str | None
    first_seen: datetime | None
    face_attempts: int | None = Field(description="of somebody unidentified")
    refusals: dict[str, int] | None = Field(
        description="attempts without an observation, by reason"
    )
    frame_topic: str
    frame_partition: int
    frame_offset: int
    face_box: list[float]
    recorded_at: datetime


class VisitRow(BaseModel):
    """A person during a motion event of a camera."""

    visitor_log_id: UUID
    camera_name: str
    persons_name: str
    confidence_score: float
    visited_at: datetime
    created_at: datetime
    motion_event_id: UUID
    employee_id: UUID | None
    global_id: int | None = Field(description="null for somebody whom no face identified")
    is_identified: bool


class Person(BaseModel):
    """A person that the cameras have met, enrolled or not."""

    id: int
    global_id: int
    person_id: UUID | None = Field(description="the employee")
    assigned_name: str | None
    face_quality: float | None
    embedding_pack: str | None
    avg_height_pixels: float | None
    avg_width_pixels: float | None
    avg_height_meters: float | None
    first_seen: datetime
    last_seen: datetime
    total_appearances: int
    cameras_visited: list[str]
    is_active: bool
    current_room_id: str | None
    current_positions: dict[str, Any]
    total_detections: int
    quality_scores: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class PersonTrack(BaseModel):
    """A track of a person past a camera."""

    track_uuid: UUID
    camera_id: str
    site_id: str | None
    first_seen: datetime
    last_seen: datetime
    confidence: float | None
    score: float | None
    face_quality: float | None


class PersonDetails(Person):
    """A person with their latest tracks, the persons merged into them, and their cannot-links."""

    merged: list[int]
    not_same: list[int]
    tracks: list[PersonTrack]


class Employee(BaseModel):
    """An employee: an enrolled person."""

    id: UUID
    global_id: int
    name: str
    email: str | None
    department: str | None
    employee_id_code: str | None
    aws_face_id: str | None
    photo_url: str | None
    status: Status
    is_authorized: bool
    enrolled_at: datetime
    last_seen: datetime | None
    created_by: str | None
    notes: str | None
    revision: int
    photos: int
    packs: list[str] = Field(description="model packs that know this face")


class EmployeeTemplate(BaseModel):
    """A template of an employee, without its vector."""

    template_id: UUID
    pack: str
    dimension: int
    quality: float
    photo_url: str | None
    source: Literal["photo", "sighting"]
    created_at: datetime


class EmployeeDetails(Employee):
    """An employee with their templates."""

    templates: list[EmployeeTemplate]


class StrictBody(BaseModel):
    """A body of our own interface: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")
