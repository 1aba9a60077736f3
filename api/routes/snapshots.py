"""Snapshots: the pictures that rows point to."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.audited import audited
from api.auth.needs import Acting, needs
from api.parts import Given
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.runtime.errors import NotFoundError
from sightline.storage.objects import NoSuchObjectError

router = APIRouter(prefix="/api/v1/snapshots", tags=["snapshots"])

_PICTURE = {"type": "string", "format": "binary"}


@router.get(
    "/{path:path}", summary="The picture that a row's snapshot_path names",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"schema": _PICTURE}}}},
    dependencies=[audited("snapshots.show"), needs(Permission.PICTURES_READ, scoped=True)],
)  # fmt: skip
def get_snapshot(parts: Given, actor: Acting, path: str) -> Response:
    """A JPEG. Nothing else of the store is served: enrolment photos stay inside."""
    with parts.db() as db:
        shown = db.execute(
            "SELECT camera_id, global_id, sighting_id FROM snapshots WHERE path = %s", (path,)
        ).fetchall()
    trail.about(
        persons=[person for _, person, _ in shown],
        sightings=[sighting for _, _, sighting in shown],
    )
    if not any(actor.sees(camera) for camera, _, _ in shown):
        raise NotFoundError(f"there is no snapshot {path[:200]}")
    try:
        jpeg = parts.objects.get(path)
    except NoSuchObjectError:
        # Renamed between the row and the picture: the row tells the new name.
        raise NotFoundError(
            f"the snapshot {path[:200]} has just gone; ask for the row again"
        ) from None
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private"})
