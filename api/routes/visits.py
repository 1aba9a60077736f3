"""Visitor logs: one row for each person and motion event."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api import export
from api.audited import audited
from api.auth.needs import Acting
from api.export import WantsCsv, utc
from api.paging import After, Limit, Page, Table
from api.parts import Given
from api.routes.sightings import MAY_READ, GlobalId
from api.shapes import Visit

router = APIRouter(prefix="/api/v1/visitor-logs", tags=["visitor logs"])

_TABLE = Table(
    "visitor_logs", ", ".join(Visit.model_fields), "visited_at", "timestamptz",
    "visitor_log_id", "uuid",
)  # fmt: skip


@router.get(
    "", summary="Visits, newest first; as CSV whole", response_model=Page[Visit],
    responses=export.DESCRIBED, dependencies=[audited("logs.visitors"), MAY_READ],
)  # fmt: skip
def list_visits(
    parts: Given,
    actor: Acting,
    as_csv: WantsCsv,
    person: Annotated[str | None, Query(description="a name as the log has it")] = None,
    global_id: GlobalId = None,
    camera: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[Visit] | StreamingResponse:
    """Rows by the time of the visit; `until` is not included."""
    conditions = [
        ("persons_name = %s", person),
        ("global_id = %s", global_id),
        ("camera_name = ANY(%s)", actor.only()),
        ("camera_name = %s", camera),
        ("visited_at >= %s", utc(since)),
        ("visited_at < %s", utc(until)),
    ]
    return export.answer(parts, Visit, _TABLE, conditions, limit=limit, after=cursor, as_csv=as_csv)
