"""Visitor logs: one row for each person and motion event, and for each unidentified track."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from api import csv_export
from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import CurrentActor
from api.pagination import Page, Table, columns_of
from api.response_models import VisitRow
from api.routes.log_query import IS_IDENTIFIED, MAY_READ, Log
from sightline.people.one_of import VISIT_NAME
from sightline.storage.camera_names import named

router = APIRouter(prefix="/api/v1/visitor-logs", tags=["visitor logs"])

_TABLE = Table(
    "visitor_logs",
    columns_of(
        VisitRow,
        camera_name=named("visitor_logs.camera_name"),
        is_identified=IS_IDENTIFIED,
        persons_name=VISIT_NAME,
    ),
    "visited_at",
    "timestamptz",
    "visitor_log_id",
    "uuid",
)


@router.get(
    "", summary="Visits, newest first; as CSV whole", response_model=Page[VisitRow],
    responses=csv_export.DESCRIBED, dependencies=[audited("logs.visitors"), MAY_READ],
)  # fmt: skip
def list_visits(
    context: Context, actor: CurrentActor, log: Log
) -> Page[VisitRow] | StreamingResponse:
    """List rows by the time of the visit; `until` is not included."""
    conditions = log.conditions(
        context, actor, name="persons_name", camera="camera_name", time="visited_at"
    )
    return log.answer(context, VisitRow, _TABLE, conditions)
