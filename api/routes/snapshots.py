"""Snapshots: pictures of tracks that rows of the logs point to."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import CurrentActor, requires
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.runtime.errors import NotFoundError
from sightline.storage.objects import NoSuchObjectError

router = APIRouter(prefix="/api/v1/snapshots", tags=["snapshots"])

_JPEG_SCHEMA = {"type": "string", "format": "binary"}


@router.get(
    "/{path:path}", summary="The picture that a row's snapshot_path names",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"schema": _JPEG_SCHEMA}}}},
    dependencies=[audited("snapshots.show"), requires(Permission.SNAPSHOTS_READ, scoped=True)],
)  # fmt: skip
def get_snapshot(context: Context, actor: CurrentActor, path: str) -> Response:
    """Return a JPEG. Nothing else of the store is served: enrolment photos are not."""
    with context.db() as db:
        rows = db.execute(
            "SELECT camera_id, global_id, sighting_id FROM snapshots WHERE path = %s", (path,)
        ).fetchall()
    trail.add_subject(
        persons=[person for _, person, _ in rows], sightings=[sighting for _, _, sighting in rows]
    )
    if not any(actor.can_see(camera) for camera, _, _ in rows):
        raise NotFoundError(f"there is no snapshot {path[:200]}")
    try:
        jpeg = context.objects.get(path)
    except NoSuchObjectError:
        # It was renamed since the row was read: the row has the new name.
        raise NotFoundError(
            f"the snapshot {path[:200]} has just gone; ask for the row again"
        ) from None
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private"})
