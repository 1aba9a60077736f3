"""Persons: everybody whom the cameras have met, and what people say of them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Path, Query
from pydantic import BaseModel, Field

from api import bodies
from api.audited import audited
from api.auth.needs import needs
from api.paging import After, Limit, Page, Table, read_page
from api.parts import Given
from api.shapes import Person, PersonShown, Strict
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.people import corrections
from sightline.people.persons import shown

router = APIRouter(prefix="/api/v1", tags=["persons"])

TABLE = Table(
    "detected_persons", ", ".join(Person.model_fields), "last_seen", "timestamptz",
    "global_id", "bigint",
)  # fmt: skip

PersonId = Annotated[int, Path(ge=1, le=2**63 - 1, description="a person's global id")]
_MAY_READ, _MAY_WRITE = needs(Permission.PERSONS_READ), needs(Permission.PERSONS_WRITE)


class Name(Strict):
    """What somebody is to be called."""

    name: str


class Into(Strict):
    """Whom somebody is the same as."""

    into: int = Field(ge=1, le=2**63 - 1, description="a global id")


class Tracks(Strict):
    """Tracks that were somebody else."""

    tracks: list[UUID] = Field(min_length=1, max_length=1000)


class Who(BaseModel):
    """Whose the tracks are now."""

    global_id: int


@router.get(
    "/persons", summary="Everybody met, last seen first",
    dependencies=[audited("persons.list"), _MAY_READ],
)  # fmt: skip
def list_persons(
    parts: Given,
    active: Annotated[bool | None, Query(description="here now, or not")] = None,
    name: Annotated[str | None, Query(description="as enrolled or as given")] = None,
    camera: Annotated[str | None, Query(description="who was seen there")] = None,
    enrolled: bool | None = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[Person]:
    """Enrolled or not; vectors stay inside."""
    conditions = [
        ("is_active = %s", active),
        ("assigned_name = %s", name),
        ("cameras_visited ? %s", camera),
        ("(person_id IS NOT NULL) = %s", enrolled),
    ]
    with parts.db() as db:
        rows, following = read_page(db, TABLE, conditions, limit, cursor)
    return Page(items=[Person.model_validate(row) for row in rows], next=following)


@router.get(
    "/persons/{global_id}", summary="One person",
    dependencies=[audited("persons.show"), _MAY_READ],
)  # fmt: skip
def get_person(parts: Given, global_id: PersonId) -> PersonShown:
    """By their global id; who was merged into another is found as that one."""
    with parts.db() as db:
        return PersonShown.model_validate(shown(db, global_id))


@router.put(
    "/persons/{global_id}/name", summary="Give somebody unknown a name", status_code=204,
    openapi_extra=bodies.described(json=Name),
    dependencies=[audited("persons.name"), _MAY_WRITE],
)  # fmt: skip
def name_person(
    parts: Given,
    global_id: PersonId,
    body: Annotated[Name, bodies.json_of(Name)],
    after: BackgroundTasks,
) -> None:
    """The past logs say it at once."""
    with parts.db() as db, db.cursor() as cursor:
        corrections.name_person(cursor, global_id, body.name)
        trail.seal(cursor, global_id)
    after.add_task(parts.deliver)


@router.post(
    "/persons/{global_id}/merge", summary="Say that two are one person",
    openapi_extra=bodies.described(json=Into),
    dependencies=[audited("persons.merge"), _MAY_WRITE],
)  # fmt: skip
def merge(
    parts: Given,
    global_id: PersonId,
    body: Annotated[Into, bodies.json_of(Into)],
    after: BackgroundTasks,
) -> Who:
    """All that was this person is the other from now on, in the past logs too."""
    with parts.db() as db, db.cursor() as cursor:
        corrections.merge(cursor, global_id, body.into)
        trail.seal(cursor, global_id, body.into)
    after.add_task(parts.deliver)
    return Who(global_id=body.into)


@router.post(
    "/persons/{global_id}/split", summary="Say that some of a person's tracks were somebody else",
    openapi_extra=bodies.described(json=Tracks),
    dependencies=[audited("persons.split"), _MAY_WRITE],
)  # fmt: skip
def split(
    parts: Given,
    global_id: PersonId,
    body: Annotated[Tracks, bodies.json_of(Tracks)],
    after: BackgroundTasks,
) -> Who:
    """They become a person of their own, who is not taken for this one again."""
    with parts.db() as db, db.cursor() as cursor:
        new = corrections.split(cursor, global_id, body.tracks)
        trail.about(tracks=body.tracks)
        trail.seal(cursor, global_id, new)
    after.add_task(parts.deliver)
    return Who(global_id=new)


@router.post(
    "/tracks/{track}/not-this-person", summary="Say that a track was not that person",
    dependencies=[audited("persons.reject"), _MAY_WRITE],
)  # fmt: skip
def not_this_person(parts: Given, track: UUID, after: BackgroundTasks) -> Who:
    """It becomes a person of its own, who is not taken for the other again."""
    with parts.db() as db, db.cursor() as cursor:
        new = corrections.not_this_person(cursor, track)
        trail.seal(cursor, new)
    after.add_task(parts.deliver)
    return Who(global_id=new)


@router.delete(
    "/persons/{global_id}", summary="Forget somebody unknown", status_code=204,
    dependencies=[audited("persons.forget"), needs(Permission.PEOPLE_REMOVE)],
)  # fmt: skip
def forget(parts: Given, global_id: PersonId, after: BackgroundTasks) -> None:
    """How they look and what they were called; the logs keep what happened."""
    with parts.db() as db, db.cursor() as cursor:
        corrections.forget(cursor, global_id)
        trail.seal(cursor, global_id)
    after.add_task(parts.deliver)
