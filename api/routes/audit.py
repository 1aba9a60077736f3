"""The audit trail, for auditors."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import requires
from api.pagination import Limit
from api.routes.log_query import GlobalId
from sightline.audit import trail_reader
from sightline.audit.roles import Permission

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


class AuditLine(BaseModel):
    """An action of an actor, with the ids and no names of the persons that it was about."""

    line: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    role: str
    address: str | None
    action: str
    about: dict[str, Any]
    purpose: str | None
    outcome: Literal["done", "refused", "failed"]


class AuditPage(BaseModel):
    """Lines in order; `next` is `before` of the following page, null after one that is not full."""

    items: list[AuditLine]
    next: int | None


@router.get(
    "", summary="Who did what with whose data, latest first",
    dependencies=[audited("audit.list"), requires(Permission.AUDIT_READ)],
)  # fmt: skip
def list_lines(
    context: Context,
    global_id: GlobalId = None,
    actor: Annotated[str | None, Query(description="an id or a name")] = None,
    action: Annotated[str | None, Query(description="or what it begins with: people")] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="a line")] = None,
    limit: Limit = 100,
) -> AuditPage:
    """List lines; `until` is not included. `sightline audit verify` checks the chain."""
    query = trail_reader.TrailQuery(
        context.moment(since), context.moment(until), actor, action, global_id, before, limit
    )
    with context.db() as db:
        rows = trail_reader.list_lines(db, query)
    next_line = rows[-1]["line"] if len(rows) == limit else None
    return AuditPage(items=[AuditLine.model_validate(row) for row in rows], next=next_line)
