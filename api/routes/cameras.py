"""Cameras: which there are and how they fare."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth.needs import Acting, needs
from api.parts import Given
from sightline.audit.roles import Permission
from sightline.storage import cameras

router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])


class Camera(BaseModel):
    """A camera; its address without user, password and other secrets."""

    camera_id: str
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
    def of(cls, camera: cameras.Camera) -> "Camera":
        """As it may be shown."""
        shown = {name: getattr(camera, name) for name in cls.model_fields}
        detail = camera.status_detail
        return cls(
            **shown
            | {
                "uri": camera.shown_uri,
                "status_detail": cameras.mask_uri(detail) if detail else None,
            }
        )


_MAY_READ = needs(Permission.CAMERAS_READ, scoped=True)


@router.get("", summary="All cameras, by name", dependencies=[_MAY_READ])
def list_cameras(parts: Given, actor: Acting) -> list[Camera]:
    """Those that have not been removed."""
    with parts.db() as db:
        found = cameras.list_cameras(db)
    return [Camera.of(one) for one in found if actor.sees(one.camera_id)]


@router.get("/{camera_id}", summary="One camera", dependencies=[_MAY_READ])
def get_camera(parts: Given, actor: Acting, camera_id: str) -> Camera:
    """The camera of a name."""
    if not actor.sees(camera_id):
        raise cameras.unknown(camera_id)
    with parts.db() as db:
        return Camera.of(cameras.get(db, camera_id))
