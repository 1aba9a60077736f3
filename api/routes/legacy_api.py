"""Enrolment and logs for clients of the systems that Sightline replaces."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from api import request_bodies
from api.app_context import AppContext, Context
from api.audit_middleware import audited
from api.auth.permissions import CurrentActor, requires
from api.pagination import read_page
from api.photo_uploads import BASE64, PHOTO_NAMES, PhotoBody, read_photo_body
from api.response_models import AccessLogRow
from api.routes.log_query import MAY_READ, person_conditions
from api.routes.sightings import TABLE
from sightline.audit.roles import Permission
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import EnrolledEmployee, enrol
from sightline.people.picture_files import Photo
from sightline.storage.db import dict_rows

router = APIRouter(prefix="/api/module1", tags=["module1"])


class Enrolment(PhotoBody):
    """A person to enrol, with a photo in base64."""

    name: str
    photo: str = Field(validation_alias=PHOTO_NAMES, description=BASE64)
    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None
    is_authorized: bool | None = None

    def details(self) -> EmployeeProfile:
        """Return the values besides name and photo."""
        return EmployeeProfile(
            department=self.department or None,
            email=self.email or None,
            employee_id_code=self.employee_id_code or None,
            is_authorized=self.is_authorized,
        )


class LegacyEnrolmentResult(BaseModel):
    """The person, and the template of the photo."""

    success: bool
    employee_id: UUID
    face_id: UUID
    message: str


_FORM = {
    "type": "object",
    "required": ["name", "photo"],
    "properties": {
        "name": {"type": "string"},
        "photo": {"type": "string", "format": "binary"},
        "department": {"type": "string"},
        "email": {"type": "string"},
        "employee_id_code": {"type": "string"},
        "is_authorized": {"type": "boolean"},
    },
}


@router.post(
    "/enroll", summary="Enrol a person with one photo",
    openapi_extra=request_bodies.described(json=Enrolment, form=_FORM),
    dependencies=[audited("enrol"), requires(Permission.EMPLOYEES_WRITE)],
)  # fmt: skip
async def enroll(
    context: Context, request: Request, after: BackgroundTasks
) -> LegacyEnrolmentResult:
    """Enrol by a form with a photo file, or by JSON.

    A name that is there is a conflict, unless the code is new.
    """
    limit = context.api.max_photo_bytes
    enrolment, photo = await read_photo_body(request, Enrolment, limit)
    enrolled = await run_in_threadpool(_enrol, context, enrolment, photo)
    after.add_task(context.deliver)
    return LegacyEnrolmentResult(
        success=True,
        employee_id=enrolled.person_id,
        face_id=enrolled.face_id,
        message=f"{enrolled.name} is enrolled",
    )


def _enrol(context: AppContext, enrolment: Enrolment, photo: Photo | None) -> EnrolledEmployee:
    pack = context.models.get()
    details = enrolment.details()
    photos = [photo] if photo else []
    return enrol(context.settings, pack, enrolment.name, photos, details, new_only=True)


@router.get(
    "/access-logs", summary="The newest rows of the access log",
    dependencies=[audited("logs.access"), MAY_READ],
)  # fmt: skip
def access_logs(
    context: Context,
    actor: CurrentActor,
    person_name: Annotated[
        str | None, Query(description="a name as the log has it, NAME (CODE), or a code")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[AccessLogRow]:
    """List rows, newest first; the name `Unknown` finds those of unknown people."""
    conditions = [
        *person_conditions(context, person_name, name="person_name"),
        ("camera_id = ANY(%s)", actor.visible_cameras()),
    ]
    with context.db() as db:
        rows, _ = read_page(db, TABLE, conditions, limit, None)
    return [AccessLogRow.model_validate(row) for row in rows]


class Period(BaseModel):
    """The time from `start` to `end`, which is not included; null is open."""

    start: datetime | None
    end: datetime | None


class AccessSummary(BaseModel):
    """Counts of the access log."""

    total_accesses: int
    authorized: int
    unauthorized: int
    unknown: int
    unidentified: int = Field(description="of the unknown: people whom no face identified")
    authorized_rate: float = Field(description="0 to 1; 0 without any access")
    period: Period


_SUMMARY = """
SELECT count(*) AS total_accesses,
    count(*) FILTER (WHERE access_status = 'authorized') AS authorized,
    count(*) FILTER (WHERE access_status = 'unauthorized') AS unauthorized,
    count(*) FILTER (WHERE access_status = 'unknown') AS unknown,
    count(*) FILTER (WHERE global_id IS NULL) AS unidentified
FROM access_logs
WHERE (%(start)s::timestamptz IS NULL OR timestamp >= %(start)s)
    AND (%(end)s::timestamptz IS NULL OR timestamp < %(end)s)
    AND (%(cameras)s::text[] IS NULL OR camera_id = ANY(%(cameras)s))
"""


@router.get(
    "/access-summary", summary="How many accesses there were, and of what kind",
    dependencies=[audited("logs.summary"), MAY_READ],
)  # fmt: skip
def access_summary(
    context: Context,
    actor: CurrentActor,
    start: datetime | None = None,
    end: datetime | None = None,
) -> AccessSummary:
    """Count over all time, or a period; a time without an offset is in `display.timezone`."""
    period = Period(start=context.moment(start), end=context.moment(end))
    values = period.model_dump() | {"cameras": actor.visible_cameras()}
    with context.db() as db:
        [counts] = dict_rows(db, _SUMMARY, values)
    rate = counts["authorized"] / counts["total_accesses"] if counts["total_accesses"] else 0.0
    return AccessSummary(**counts, authorized_rate=rate, period=period)
