"""Employees: the people who are enrolled."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Form, Query, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from psycopg.rows import dict_row
from pydantic import BaseModel

from api import bodies
from api.audited import audited
from api.auth.needs import needs
from api.paging import After, Limit, Page, Table, read_page
from api.parts import Given, Parts
from api.photos import from_upload
from api.settings import ApiSettings
from api.shapes import Employee, EmployeeShown, Status, Strict
from sightline.audit.roles import Permission
from sightline.people import employee_changes, employees
from sightline.people.employees import Details
from sightline.people.enrol import Enrolled, enrol
from sightline.people.picture_files import Photo
from sightline.runtime.errors import NotFoundError, SightlineError

router = APIRouter(prefix="/api/v1/employees", tags=["employees"])

_MOST_PHOTOS = 20

_OWN = [name for name in Employee.model_fields if name not in ("photos", "packs")]

_TABLE = Table(
    "employees LEFT JOIN LATERAL (SELECT count(*) AS photos,"
    " coalesce(array_agg(DISTINCT pack ORDER BY pack), '{}') AS packs"
    " FROM face_templates WHERE employee_id = employees.id) AS looks ON true",
    ", ".join([*(f"employees.{name}" for name in _OWN), "looks.photos", "looks.packs"]),
    "employees.name", "text", "employees.id", "uuid", descending=False,
)  # fmt: skip

_LOOKS = """
SELECT template_id, pack, face_dimension(embedding, embedding_sealed) AS dimension, quality,
    photo_url, source, created_at
FROM face_templates WHERE employee_id = %s ORDER BY created_at, template_id
"""


_MAY_READ, _MAY_WRITE = needs(Permission.PEOPLE_READ), needs(Permission.PEOPLE_WRITE)


@router.get(
    "", summary="Everybody enrolled, by name", dependencies=[audited("employees.list"), _MAY_READ]
)
def list_employees(
    parts: Given,
    status: Status | None = None,
    authorized: bool | None = None,
    department: str | None = None,
    search: Annotated[str | None, Query(max_length=200, description="part of the name")] = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[Employee]:
    """Only active people are ever authorised, whatever `is_authorized` says."""
    conditions = [
        ("status = %s", status),
        ("is_authorized = %s", authorized),
        ("department = %s", department),
        ("strpos(lower(name), lower(%s)) > 0", search),
    ]
    with parts.db() as db:
        rows, following = read_page(db, _TABLE, conditions, limit, cursor)
    return Page(items=[Employee.model_validate(row) for row in rows], next=following)


@router.get(
    "/{employee_id}",
    summary="One enrolled person with their looks",
    dependencies=[audited("employees.show"), _MAY_READ],
)
def get_employee(parts: Given, employee_id: UUID) -> EmployeeShown:
    """Vectors stay inside."""
    with parts.db() as db:
        rows, _ = read_page(db, _TABLE, [("employees.id = %s", employee_id)], 1, None)
        if not rows:
            raise NotFoundError(f"nobody is enrolled with the id {employee_id}")
        with db.cursor(row_factory=dict_row) as cursor:
            looks = cursor.execute(_LOOKS, (employee_id,)).fetchall()
    return EmployeeShown.model_validate(rows[0] | {"templates": looks})


class EnrolmentDone(BaseModel):
    """What enrolling has done."""

    employee_id: UUID
    global_id: int
    face_id: UUID
    name: str
    photos_added: int
    linked: list[int]
    """Global ids of strangers who turned out to be this person."""

    @classmethod
    def of(cls, done: Enrolled) -> "EnrolmentDone":
        """As it is told."""
        return cls(
            employee_id=done.person_id,
            global_id=done.global_id,
            face_id=done.face_id,
            name=done.name,
            photos_added=done.added,
            linked=done.linked,
        )


@router.post(
    "", summary="Enrol a person with one or more photos", status_code=201,
    dependencies=[audited("enrol"), _MAY_WRITE],
)  # fmt: skip
async def add_employee(
    parts: Given,
    response: Response,
    after: BackgroundTasks,
    name: Annotated[str, Form()],
    photos: list[UploadFile],
    department: Annotated[str | None, Form()] = None,
    email: Annotated[str | None, Form()] = None,
    employee_id_code: Annotated[str | None, Form()] = None,
    is_authorized: Annotated[bool | None, Form()] = None,
) -> EnrolmentDone:
    """All photos are taken or none. A name that is there already is a conflict."""
    details = Details(
        department=department,
        email=email,
        employee_id_code=employee_id_code,
        is_authorized=is_authorized,
    )
    taken = await _photos(parts, photos)
    done = await run_in_threadpool(_enrol, parts, name, taken, details, new_only=True)
    after.add_task(parts.deliver)
    response.headers["Location"] = f"{router.prefix}/{done.person_id}"
    return EnrolmentDone.of(done)


@router.post(
    "/{employee_id}/photos", summary="Add photos of an enrolled person",
    dependencies=[audited("enrol.photos"), _MAY_WRITE],
)  # fmt: skip
async def add_photos(
    parts: Given, employee_id: UUID, photos: list[UploadFile], after: BackgroundTasks
) -> EnrolmentDone:
    """All photos are taken or none; one that is there already is not added again."""
    taken = await _photos(parts, photos)
    name = await run_in_threadpool(_name_of, parts, employee_id)
    done = await run_in_threadpool(_enrol, parts, name, taken, Details(), new_only=False)
    after.add_task(parts.deliver)
    return EnrolmentDone.of(done)


async def _photos(parts: Parts, photos: Sequence[UploadFile]) -> list[Photo]:
    if len(photos) > _MOST_PHOTOS:
        raise SightlineError(f"{len(photos)} photos at once; {_MOST_PHOTOS} are possible")
    return [
        await from_upload(one, ApiSettings.of(parts.settings).max_photo_bytes) for one in photos
    ]


def _name_of(parts: Parts, employee_id: UUID) -> str:
    with parts.db() as db:
        return employees.lock_id(db.cursor(), employee_id)


def _enrol(
    parts: Parts, name: str, photos: Sequence[Photo], details: Details, *, new_only: bool
) -> Enrolled:
    pack = parts.faces.pack()
    return enrol(parts.settings, pack, name, photos, details, new_only=new_only)


class Change(Strict):
    """What is to change; what is left out or null stays."""

    status: Status | None = None
    is_authorized: bool | None = None
    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None


@router.patch(
    "/{employee_id}", summary="Change what is kept of a person",
    openapi_extra=bodies.described(json=Change),
    dependencies=[audited("employees.set"), _MAY_WRITE],
)  # fmt: skip
def change_employee(
    parts: Given,
    employee_id: UUID,
    body: Annotated[Change, bodies.json_of(Change)],
    after: BackgroundTasks,
) -> EmployeeShown:
    """Running matchers know it within two seconds."""
    details = Details(**body.model_dump())
    if not details.given():
        raise SightlineError("nothing to change")
    if employee_changes.change(parts.settings, employee_id, details):
        after.add_task(parts.deliver)
    return get_employee(parts, employee_id)


@router.delete(
    "/{employee_id}", summary="Remove a person", status_code=204,
    dependencies=[audited("employees.remove"), needs(Permission.PEOPLE_REMOVE)],
)  # fmt: skip
def remove_employee(parts: Given, employee_id: UUID, after: BackgroundTasks) -> None:
    """Their record, templates, photos, and their name on snapshots."""
    employee_changes.remove(parts.settings, employee_id)
    after.add_task(parts.deliver)
