"""Detected persons, as the systems that Sightline replaces have them."""

from fastapi import APIRouter
from psycopg.rows import dict_row
from pydantic import BaseModel

from api.audited import audited
from api.auth.needs import needs
from api.parts import Given
from api.routes.persons import PersonId
from api.shapes import Person
from sightline.audit import trail
from sightline.audit.roles import Permission
from sightline.people.persons import shown

router = APIRouter(prefix="/api/detected-persons", tags=["detected persons"])


class ActivePerson(Person):
    """Somebody who is here now."""

    cameras: list[str]


class Active(BaseModel):
    """Everybody who is here now."""

    active_persons: int
    persons: list[ActivePerson]


_MAY_READ = needs(Permission.PERSONS_READ)


# Before the route with an id, or "active" would be taken for one.
@router.get(
    "/active", summary="Everybody who is here now",
    dependencies=[audited("persons.active"), _MAY_READ],
)  # fmt: skip
def active(parts: Given) -> Active:
    """Last seen first."""
    columns = ", ".join(Person.model_fields)
    with parts.db() as db, db.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            f"SELECT {columns}, cameras_visited AS cameras FROM detected_persons"  # noqa: S608 - ours
            " WHERE is_active ORDER BY last_seen DESC, global_id"
        ).fetchall()
    trail.seen(rows)
    persons = [ActivePerson.model_validate(row) for row in rows]
    return Active(active_persons=len(persons), persons=persons)


@router.get("/{global_id}", summary="One person", dependencies=[audited("persons.show"), _MAY_READ])
def get_detected(parts: Given, global_id: PersonId) -> Person:
    """By their global id."""
    with parts.db() as db:
        return Person.model_validate(shown(db, global_id, tracks=0))
