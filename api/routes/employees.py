"""Employees: enrolled people."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Form, Query, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from api import request_bodies
from api.app_context import AppContext, Context
from api.audit_middleware import audited
from api.auth.permissions import requires
from api.pagination import After, Limit, Page, Table, read_models, read_page
from api.photo_uploads import from_upload
from api.response_models import Employee, EmployeeDetails, Status, StrictBody
from sightline.audit.roles import Permission
from sightline.people import employee_changes, employees
from sightline.people.employees import EmployeeProfile
from sightline.people.enrol import EnrolledEmployee, enrol
from sightline.people.names import normalise_text
from sightline.people.picture_files import Photo
from sightline.runtime.errors import NotFoundError, SightlineError
from sightline.storage.db import dict_rows

router = APIRouter(prefix="/api/v1/employees", tags=["employees"])

_MAX_PHOTOS = 20

_EMPLOYEE_COLUMNS = [name for name in Employee.model_fields if name not in ("photos", "packs")]

_TABLE = Table(
    "employees LEFT JOIN LATERAL (SELECT count(*) AS photos,"
    " coalesce(array_agg(DISTINCT pack ORDER BY pack), '{}') AS packs"
    " FROM face_templates WHERE employee_id = employees.id) AS faces ON true",
    ", ".join([*(f"employees.{name}" for name in _EMPLOYEE_COLUMNS), "faces.*"]),
    "employees.name", "text", "employees.id", "uuid", descending=False,
)  # fmt: skip

_TEMPLATES = """
SELECT template_id, pack, face_dimension(embedding, embedding_sealed) AS dimension, quality,
    photo_url, source, created_at
FROM face_templates WHERE employee_id = %s ORDER BY created_at, template_id
"""


_MAY_READ, _MAY_WRITE = requires(Permission.EMPLOYEES_READ), requires(Permission.EMPLOYEES_WRITE)


@router.get(
    "", summary="Everybody enrolled, by name", dependencies=[audited("employees.list"), _MAY_READ]
)
def list_employees(
    context: Context,
    status: Status | None = None,
    authorized: bool | None = None,
    department: str | None = None,
    code: Annotated[str | None, Query(description="a staff number")] = None,
    search: Annotated[str | None, Query(max_length=200, description="part of the name")] = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[Employee]:
    """List employees. Only active ones are authorised, whatever `is_authorized` says."""
    conditions = [
        ("status = %s", status),
        ("is_authorized = %s", authorized),
        ("department = %s", department),
        ("employee_id_code = %s", code and normalise_text(code)),
        ("strpos(lower(name), lower(%s)) > 0", search and normalise_text(search)),
    ]
    with context.db() as db:
        return read_models(db, Employee, _TABLE, conditions, limit, cursor)


@router.get(
    "/{employee_id}",
    summary="One enrolled person with their templates",
    dependencies=[audited("employees.show"), _MAY_READ],
)
def get_employee(context: Context, employee_id: UUID) -> EmployeeDetails:
    """Return an employee; templates come without their vectors."""
    with context.db() as db:
        rows, _ = read_page(db, _TABLE, [("employees.id = %s", employee_id)], 1, None)
        if not rows:
            raise NotFoundError(f"nobody is enrolled with the id {employee_id}")
        templates = dict_rows(db, _TEMPLATES, (employee_id,))
    return EmployeeDetails.model_validate(rows[0] | {"templates": templates})


class EnrolmentResult(BaseModel):
    """The result of an enrolment."""

    employee_id: UUID = Field(validation_alias="person_id")
    global_id: int
    face_id: UUID
    name: str
    photos_added: int = Field(validation_alias="added")
    linked: list[int]
    """Global ids of unknown persons who turned out to be this one."""


@router.post(
    "", summary="Enrol a person with one or more photos", status_code=201,
    dependencies=[audited("enrol"), _MAY_WRITE],
)  # fmt: skip
async def add_employee(
    context: Context,
    response: Response,
    after: BackgroundTasks,
    name: Annotated[str, Form()],
    photos: list[UploadFile],
    department: Annotated[str | None, Form()] = None,
    email: Annotated[str | None, Form()] = None,
    employee_id_code: Annotated[str | None, Form()] = None,
    is_authorized: Annotated[bool | None, Form()] = None,
) -> EnrolmentResult:
    """Enrol a person with all photos or none.

    A name that is there already is a conflict, unless `employee_id_code` tells the two apart.
    """
    details = EmployeeProfile(
        department=department,
        email=email,
        employee_id_code=employee_id_code,
        is_authorized=is_authorized,
    )
    uploads = await _photos(context, photos)
    enrolled = await run_in_threadpool(_enrol, context, name, uploads, details, new_only=True)
    after.add_task(context.deliver)
    response.headers["Location"] = f"{router.prefix}/{enrolled.person_id}"
    return EnrolmentResult.model_validate(enrolled, from_attributes=True)


@router.post(
    "/{employee_id}/photos", summary="Add photos of an enrolled person",
    dependencies=[audited("enrol.photos"), _MAY_WRITE],
)  # fmt: skip
async def add_photos(
    context: Context, employee_id: UUID, photos: list[UploadFile], after: BackgroundTasks
) -> EnrolmentResult:
    """Add all photos or none; one that is there already is not added again."""
    uploads = await _photos(context, photos)
    name = await run_in_threadpool(_name_of, context, employee_id)
    enrolled = await run_in_threadpool(
        _enrol, context, name, uploads, EmployeeProfile(), person=employee_id
    )
    after.add_task(context.deliver)
    return EnrolmentResult.model_validate(enrolled, from_attributes=True)


async def _photos(context: AppContext, photos: Sequence[UploadFile]) -> list[Photo]:
    if len(photos) > _MAX_PHOTOS:
        raise SightlineError(f"{len(photos)} photos at once; {_MAX_PHOTOS} are possible")
    return [await from_upload(photo, context.api.max_photo_bytes) for photo in photos]


def _name_of(context: AppContext, employee_id: UUID) -> str:
    with context.db() as db:
        return employees.lock_id(db.cursor(), employee_id)


def _enrol(
    context: AppContext,
    name: str,
    photos: Sequence[Photo],
    details: EmployeeProfile,
    *,
    person: UUID | None = None,
    new_only: bool = False,
) -> EnrolledEmployee:
    pack = context.models.get()
    return enrol(context.settings, pack, name, photos, details, person=person, new_only=new_only)


class EmployeeChange(StrictBody):
    """The values to change; a value that is left out or null stays."""

    status: Status | None = None
    is_authorized: bool | None = None
    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None


@router.patch(
    "/{employee_id}", summary="Change the record of a person",
    openapi_extra=request_bodies.described(json=EmployeeChange),
    dependencies=[audited("employees.set"), _MAY_WRITE],
)  # fmt: skip
def change_employee(
    context: Context,
    employee_id: UUID,
    body: Annotated[EmployeeChange, request_bodies.json_of(EmployeeChange)],
    after: BackgroundTasks,
) -> EmployeeDetails:
    """Change an employee; running matchers know it within two seconds."""
    details = EmployeeProfile(**body.model_dump())
    if not details.changes():
        raise SightlineError("nothing to change")
    if employee_changes.change(context.settings, employee_id, details):
        after.add_task(context.deliver)
    return get_employee(context, employee_id)


@router.delete(
    "/{employee_id}", summary="Remove a person", status_code=204,
    dependencies=[audited("employees.remove"), requires(Permission.EMPLOYEES_REMOVE)],
)  # fmt: skip
def remove_employee(context: Context, employee_id: UUID, after: BackgroundTasks) -> None:
    """Remove an employee's record, templates, photos, and their name on snapshots."""
    employee_changes.remove(context.settings, employee_id)
    after.add_task(context.deliver)
