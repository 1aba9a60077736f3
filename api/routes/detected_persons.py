"""Detected persons, for clients of the systems that Sightline replaces."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.app_context import Context
from api.audit_middleware import audited
from api.auth.permissions import requires
from api.response_models import Person
from api.routes.persons import COLUMNS, PersonId
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.people.persons import read_person
from sightline.storage.db import dict_rows

router = APIRouter(prefix="/api/detected-persons", tags=["detected persons"])


class ActivePerson(Person):
    """A person who is here now."""

    cameras: list[str]


class ActivePersons(BaseModel):
    """The persons who are here now."""

    active_persons: int
    persons: list[ActivePerson]


_MAY_READ = requires(Permission.PERSONS_READ)


# Before the route with an id, or "active" would be taken for one.
@router.get(
    "/active", summary="Everybody who is here now",
    dependencies=[audited("persons.active"), _MAY_READ],
)  # fmt: skip
def active(context: Context) -> ActivePersons:
    """List them, last seen first."""
    with context.db() as db:
        rows = dict_rows(
            db,
            f"SELECT {COLUMNS}, camera_names(cameras_visited) AS cameras FROM detected_persons"  # noqa: S608 - ours
            " WHERE is_active ORDER BY last_seen DESC, global_id",
        )
    trail.add_read_rows(rows)
    persons = [ActivePerson.model_validate(row) for row in rows]
    return ActivePersons(active_persons=len(persons), persons=persons)


@router.get("/{global_id}", summary="One person", dependencies=[audited("persons.show"), _MAY_READ])
def get_detected(context: Context, global_id: PersonId) -> Person:
    """Return a person by their global id."""
    with context.db() as db:
        return Person.model_validate(read_person(db, global_id, tracks=0))
