"""Sightings: the access log, with why each row says what it says."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api import export
from api.audited import audited
from api.auth.needs import Acting, needs
from api.export import WantsCsv, utc
from api.paging import After, Limit, Page, Table, read_page
from api.parts import Given
from api.shapes import AccessLog, AccessStatus
from sightline.audit.roles import Permission
from sightline.runtime.errors import NotFoundError

router = APIRouter(prefix="/api/v1/sightings", tags=["sightings"])

TABLE = Table(
    "access_logs", ", ".join(AccessLog.model_fields), "timestamp", "timestamptz", "id", "uuid"
)

MAY_READ = needs(Permission.LOGS_READ, scoped=True)

GlobalId = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="a person's global id")]


@router.get(
    "", summary="The access log, newest first; as CSV whole", response_model=Page[AccessLog],
    responses=export.DESCRIBED, dependencies=[audited("logs.access"), MAY_READ],
)  # fmt: skip
def list_sightings(
    parts: Given,
    actor: Acting,
    as_csv: WantsCsv,
    person: Annotated[str | None, Query(description="a name as the log has it")] = None,
    global_id: GlobalId = None,
    camera: str | None = None,
    site: str | None = None,
    status: AccessStatus | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[AccessLog] | StreamingResponse:
    """Rows by the time of the frame that decided; `until` is not included."""
    conditions = [
        ("person_name = %s", person),
        ("global_id = %s", global_id),
        ("camera_id = ANY(%s)", actor.only()),
        ("camera_id = %s", camera),
        ("site_id = %s", site),
        ("access_status = %s", status),
        ("timestamp >= %s", utc(since)),
        ("timestamp < %s", utc(until)),
    ]
    return export.answer(
        parts, AccessLog, TABLE, conditions, limit=limit, after=cursor, as_csv=as_csv
    )


@router.get(
    "/{sighting_id}", summary="One sighting", dependencies=[audited("logs.access"), MAY_READ]
)
def get_sighting(parts: Given, actor: Acting, sighting_id: UUID) -> AccessLog:
    """The row of a decision."""
    conditions = [("id = %s", sighting_id), ("camera_id = ANY(%s)", actor.only())]
    with parts.db() as db:
        rows, _ = read_page(db, TABLE, conditions, 1, None)
    if not rows:
        raise NotFoundError(f"there is no sighting {sighting_id}")
    return AccessLog.model_validate(rows[0])
