"""Sightings: the access log, with the reasons of each decision."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from api import csv_export
from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import CurrentActor
from api.pagination import Page, Table, columns_of, read_page
from api.response_models import AccessLogRow, AccessStatus
from api.routes.log_query import IS_IDENTIFIED, MAY_READ, Log
from sightline.people.one_of import ACCESS_NAME
from sightline.runtime.errors import NotFoundError
from sightline.storage.camera_names import named

router = APIRouter(prefix="/api/v1/sightings", tags=["sightings"])

TABLE = Table(
    "access_logs",
    columns_of(
        AccessLogRow,
        camera_id=named("access_logs.camera_id"),
        is_identified=IS_IDENTIFIED,
        person_name=ACCESS_NAME,
    ),
    "timestamp",
    "timestamptz",
    "id",
    "uuid",
)


@router.get(
    "", summary="The access log, newest first; as CSV whole", response_model=Page[AccessLogRow],
    responses=csv_export.DESCRIBED, dependencies=[audited("logs.access"), MAY_READ],
)  # fmt: skip
def list_sightings(
    context: Context,
    actor: CurrentActor,
    log: Log,
    site: str | None = None,
    status: AccessStatus | None = None,
) -> Page[AccessLogRow] | StreamingResponse:
    """List rows by the time of the frame that decided; `until` is not included."""
    conditions = [
        *log.conditions(context, actor, name="person_name", camera="camera_id", time="timestamp"),
        ("site_id = %s", site),
        ("access_status = %s", status),
    ]
    return log.answer(context, AccessLogRow, TABLE, conditions)


@router.get(
    "/{sighting_id}", summary="One sighting", dependencies=[audited("logs.access"), MAY_READ]
)
def get_sighting(context: Context, actor: CurrentActor, sighting_id: UUID) -> AccessLogRow:
    """Return the row of a decision."""
    conditions = [("id = %s", sighting_id), ("camera_id = ANY(%s)", actor.visible_cameras())]
    with context.db() as db:
        rows, _ = read_page(db, TABLE, conditions, 1, None)
    if not rows:
        raise NotFoundError(f"there is no sighting {sighting_id}")
    return AccessLogRow.model_validate(rows[0])
