"""The routes of the systems that Sightline replaces, for their clients: enrolment and logs."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Query, Request
from fastapi.concurrency import run_in_threadpool
from psycopg.rows import dict_row
from pydantic import AliasChoices, BaseModel, Field

from api import bodies
from api.audited import audited
from api.auth.needs import Acting, needs
from api.export import utc
from api.paging import read_page
from api.parts import Given, Parts
from api.photos import from_base64, read_form
from api.problems import unsupported
from api.routes.sightings import MAY_READ, TABLE
from api.settings import ApiSettings
from api.shapes import AccessLog
from sightline.audit.roles import Permission
from sightline.people.employees import Details
from sightline.people.enrol import Enrolled, enrol
from sightline.people.picture_files import Photo
from sightline.runtime.errors import SightlineError

router = APIRouter(prefix="/api/module1", tags=["module1"])


class Enrolment(BaseModel):
    """A person to enrol, with a photo in base64."""

    name: str
    photo: str = Field(
        validation_alias=AliasChoices("photo", "photo_base64", "image", "image_base64"),
        description="base64, also as a data URL",
    )
    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None
    is_authorized: bool | None = None

    def details(self) -> Details:
        """What is said besides name and photo."""
        return Details(
            department=self.department or None,
            email=self.email or None,
            employee_id_code=self.employee_id_code or None,
            is_authorized=self.is_authorized,
        )


class EnrolmentDone(BaseModel):
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
    openapi_extra=bodies.described(json=Enrolment, form=_FORM),
    dependencies=[audited("enrol"), needs(Permission.PEOPLE_WRITE)],
)  # fmt: skip
async def enroll(parts: Given, request: Request, after: BackgroundTasks) -> EnrolmentDone:
    """As a form with a photo file, or as JSON. A name that is there already is a conflict."""
    wish, photo = await _enrolment(request, ApiSettings.of(parts.settings).max_photo_bytes)
    done = await run_in_threadpool(_enrol, parts, wish, photo)
    after.add_task(parts.deliver)
    return EnrolmentDone(
        success=True,
        employee_id=done.person_id,
        face_id=done.face_id,
        message=f"{done.name} is enrolled",
    )


def _enrol(parts: Parts, wish: Enrolment, photo: Photo) -> Enrolled:
    pack = parts.faces.pack()
    return enrol(parts.settings, pack, wish.name, [photo], wish.details(), new_only=True)


async def _enrolment(request: Request, limit: int) -> tuple[Enrolment, Photo]:
    kind = bodies.media_type(request)
    if kind == bodies.JSON:
        wish = bodies.checked(Enrolment, await bodies.read_json(request, None))
        return wish, from_base64(wish.photo, "photo", limit)
    if kind != bodies.FORM:
        raise unsupported(f"{bodies.FORM} or {bodies.JSON}")
    fields, photos = await read_form(request, limit)
    if len(photos) != 1:
        raise SightlineError(f"the form has {len(photos)} files; give one photo")
    wish = bodies.checked(Enrolment, fields | {"photo": "the file"})
    return wish, photos[0]


@router.get(
    "/access-logs", summary="The newest rows of the access log",
    dependencies=[audited("logs.access"), MAY_READ],
)  # fmt: skip
def access_logs(
    parts: Given,
    actor: Acting,
    person_name: Annotated[str | None, Query(description="a name as the log has it")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> list[AccessLog]:
    """Newest first; `Unknown` finds the people whom nobody knows."""
    conditions = [("person_name = %s", person_name), ("camera_id = ANY(%s)", actor.only())]
    with parts.db() as db:
        rows, _ = read_page(db, TABLE, conditions, limit, None)
    return [AccessLog.model_validate(row) for row in rows]


class Period(BaseModel):
    """From one moment to another, which is not included; null is open."""

    start: datetime | None
    end: datetime | None


class AccessSummary(BaseModel):
    """How many came."""

    total_accesses: int
    authorized: int
    unauthorized: int
    unknown: int
    authorized_rate: float = Field(description="0 to 1; 0 where nobody came")
    period: Period


_SUMMARY = """
SELECT count(*) AS total_accesses,
    count(*) FILTER (WHERE access_status = 'authorized') AS authorized,
    count(*) FILTER (WHERE access_status = 'unauthorized') AS unauthorized,
    count(*) FILTER (WHERE access_status = 'unknown') AS unknown
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
    parts: Given, actor: Acting, start: datetime | None = None, end: datetime | None = None
) -> AccessSummary:
    """Over all time, or a period; a time without a zone is UTC."""
    period = Period(start=utc(start), end=utc(end))
    asked = period.model_dump() | {"cameras": actor.only()}
    with parts.db() as db, db.cursor(row_factory=dict_row) as cursor:
        counts = cursor.execute(_SUMMARY, asked).fetchone() or {}
    rate = counts["authorized"] / counts["total_accesses"] if counts["total_accesses"] else 0.0
    return AccessSummary(**counts, authorized_rate=rate, period=period)
