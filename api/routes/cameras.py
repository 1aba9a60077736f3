"""Cameras and their status."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.app_context import Context
from api.auth.permissions import CurrentActor, requires
from sightline.audit.roles import Permission
from sightline.storage import cameras
from sightline.storage.camera_names import unknown_camera

router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])


class CameraRow(BaseModel):
    """A camera; its address without user, password and other secrets."""

    camera_id: str = Field(description="its name")
    key: str = Field(description="what topics, metrics and log lines call it: its first name")
    uri: str
    site_id: str
    fleet: str
    entry_point: str | None
    room_id: str | None
    settings: cameras.CameraSettings
    status: cameras.CameraStatus
    status_detail: str | None
    status_at: datetime | None

    @classmethod
    def of(cls, camera: cameras.Camera) -> "CameraRow":
        """Return a camera with secrets masked."""
        fields = {name: getattr(camera, name, None) for name in cls.model_fields}
        detail = camera.status_detail
        return cls(
            **fields
            | {
                "camera_id": camera.name,
                "key": camera.camera_id,
                "uri": camera.masked_uri,
                "status_detail": cameras.mask_uri(detail) if detail else None,
            }
        )


_MAY_READ = requires(Permission.CAMERAS_READ, scoped=True)


@router.get("", summary="All cameras, by name", dependencies=[_MAY_READ])
def list_cameras(context: Context, actor: CurrentActor) -> list[CameraRow]:
    """List the cameras that have not been removed."""
    with context.db() as db:
        rows = cameras.list_cameras(db)
    return [CameraRow.of(camera) for camera in rows if actor.can_see(camera.camera_id)]


@router.get("/{camera_id}", summary="One camera", dependencies=[_MAY_READ])
def get_camera(context: Context, actor: CurrentActor, camera_id: str) -> CameraRow:
    """Return the camera of a name."""
    with context.db() as db:
        camera = cameras.get(db, camera_id)
    if not actor.can_see(camera.camera_id):
        raise unknown_camera(camera_id)
    return CameraRow.of(camera)
