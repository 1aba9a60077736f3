"""The audit trail, for auditors: who did what with whose data."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.audited import audited
from api.auth.needs import needs
from api.export import utc
from api.paging import Limit
from api.parts import Given
from api.routes.sightings import GlobalId
from sightline.audit import read
from sightline.audit.roles import Permission

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


class Line(BaseModel):
    """One thing that somebody did. Ids, no names of the people that it is about."""

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


class Lines(BaseModel):
    """Lines in order; `next` is `before` of the following page, null after one that is not full."""

    items: list[Line]
    next: int | None


@router.get(
    "", summary="Who did what with whose data, latest first",
    dependencies=[audited("audit.list"), needs(Permission.AUDIT_READ)],
)  # fmt: skip
def list_lines(
    parts: Given,
    global_id: GlobalId = None,
    actor: Annotated[str | None, Query(description="an id or a name")] = None,
    action: Annotated[str | None, Query(description="or what it begins with: people")] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="a line")] = None,
    limit: Limit = 100,
) -> Lines:
    """`until` is not included. Whether nobody has touched it `sightline audit verify` says."""
    asked = read.Asked(utc(since), utc(until), actor, action, global_id, before, limit)
    with parts.db() as db:
        rows = read.listed(db, asked)
    following = rows[-1]["line"] if len(rows) == limit else None
    return Lines(items=[Line.model_validate(row) for row in rows], next=following)
