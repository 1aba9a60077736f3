"""Persons that the cameras have met, and operators' corrections of their identities."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Path, Query
from pydantic import BaseModel, Field

from api import request_bodies
from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import requires
from api.pagination import After, Limit, Page, Table, columns_of, read_models
from api.response_models import Person, PersonDetails, StrictBody
from api.routes.log_query import person_conditions
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.people import corrections
from sightline.people.persons import read_person
from sightline.storage.camera_names import CAMERA_PARAMETER

router = APIRouter(prefix="/api/v1", tags=["persons"])

COLUMNS = columns_of(
    Person,
    cameras_visited="camera_names(cameras_visited)",
    current_positions="by_camera_name(current_positions)",
)

TABLE = Table("detected_persons", COLUMNS, "last_seen", "timestamptz", "global_id", "bigint")

PersonId = Annotated[int, Path(ge=1, le=2**63 - 1, description="a person's global id")]
_MAY_READ, _MAY_WRITE = requires(Permission.PERSONS_READ), requires(Permission.PERSONS_WRITE)


class PersonName(StrictBody):
    """A name for an unknown person."""

    name: str


class MergeTarget(StrictBody):
    """The person to merge another into."""

    into: int = Field(ge=1, le=2**63 - 1, description="a global id")


class SplitTracks(StrictBody):
    """The tracks of another person."""

    tracks: list[UUID] = Field(min_length=1, max_length=1000)


class PersonReference(BaseModel):
    """The person that the tracks belong to now."""

    global_id: int


@router.get(
    "/persons", summary="Everybody met, last seen first",
    dependencies=[audited("persons.list"), _MAY_READ],
)  # fmt: skip
def list_persons(
    context: Context,
    active: Annotated[bool | None, Query(description="here now, or not")] = None,
    name: Annotated[
        str | None, Query(description="as enrolled or as given, NAME (CODE), or a code")
    ] = None,
    camera: Annotated[str | None, Query(description="of persons that were seen there")] = None,
    enrolled: bool | None = None,
    limit: Limit = 100,
    cursor: After = None,
) -> Page[Person]:
    """List persons, enrolled or not, without vectors."""
    conditions = [
        ("is_active = %s", active),
        *person_conditions(context, name, name="assigned_name", employee="person_id"),
        (f"cameras_visited ? {CAMERA_PARAMETER}", camera),
        ("(person_id IS NOT NULL) = %s", enrolled),
    ]
    with context.db() as db:
        return read_models(db, Person, TABLE, conditions, limit, cursor)


@router.get(
    "/persons/{global_id}", summary="One person",
    dependencies=[audited("persons.show"), _MAY_READ],
)  # fmt: skip
def get_person(context: Context, global_id: PersonId) -> PersonDetails:
    """Return a person by their global id, or the one that they were merged into."""
    with context.db() as db:
        return PersonDetails.model_validate(read_person(db, global_id))


@router.put(
    "/persons/{global_id}/name", summary="Name an unknown person", status_code=204,
    openapi_extra=request_bodies.described(json=PersonName),
    dependencies=[audited("persons.name"), _MAY_WRITE],
)  # fmt: skip
def name_person(
    context: Context,
    global_id: PersonId,
    body: Annotated[PersonName, request_bodies.json_of(PersonName)],
    after: BackgroundTasks,
) -> None:
    """Name a person, in past rows of all logs too."""
    with context.db() as db, db.cursor() as cursor:
        corrections.name_person(cursor, global_id, body.name)
        trail.write_entry(cursor, global_id)
    after.add_task(context.deliver)


@router.post(
    "/persons/{global_id}/merge", summary="Merge a person into another",
    openapi_extra=request_bodies.described(json=MergeTarget),
    dependencies=[audited("persons.merge"), _MAY_WRITE],
)  # fmt: skip
def merge(
    context: Context,
    global_id: PersonId,
    body: Annotated[MergeTarget, request_bodies.json_of(MergeTarget)],
    after: BackgroundTasks,
) -> PersonReference:
    """Merge a person into another, in past rows of all logs too."""
    with context.db() as db, db.cursor() as cursor:
        corrections.merge(cursor, global_id, body.into)
        trail.write_entry(cursor, global_id, body.into)
    after.add_task(context.deliver)
    return PersonReference(global_id=body.into)


@router.post(
    "/persons/{global_id}/split", summary="Split tracks off a person",
    openapi_extra=request_bodies.described(json=SplitTracks),
    dependencies=[audited("persons.split"), _MAY_WRITE],
)  # fmt: skip
def split(
    context: Context,
    global_id: PersonId,
    body: Annotated[SplitTracks, request_bodies.json_of(SplitTracks)],
    after: BackgroundTasks,
) -> PersonReference:
    """Make a person of their own of some tracks, with a cannot-link to this one."""
    with context.db() as db, db.cursor() as cursor:
        new = corrections.split(cursor, global_id, body.tracks)
        trail.add_subject(tracks=body.tracks)
        trail.write_entry(cursor, global_id, new)
    after.add_task(context.deliver)
    return PersonReference(global_id=new)


@router.post(
    "/tracks/{track}/not-this-person", summary="Reject the identity of a track",
    dependencies=[audited("persons.reject"), _MAY_WRITE],
)  # fmt: skip
def reject_identity(context: Context, track: UUID, after: BackgroundTasks) -> PersonReference:
    """Make a person of its own of a track, with a cannot-link to the one it was taken for."""
    with context.db() as db, db.cursor() as cursor:
        new = corrections.reject_identity(cursor, track)
        trail.write_entry(cursor, new)
    after.add_task(context.deliver)
    return PersonReference(global_id=new)


@router.delete(
    "/persons/{global_id}", summary="Forget an unknown person", status_code=204,
    dependencies=[audited("persons.forget"), requires(Permission.EMPLOYEES_REMOVE)],
)  # fmt: skip
def forget(context: Context, global_id: PersonId, after: BackgroundTasks) -> None:
    """Delete an unknown person's templates and name; the rows of the logs stay."""
    with context.db() as db, db.cursor() as cursor:
        corrections.forget(cursor, global_id)
        trail.write_entry(cursor, global_id)
    after.add_task(context.deliver)
