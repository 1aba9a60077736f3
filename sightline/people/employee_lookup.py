"""Lookup of an employee by what people call them: a name, `NAME (CODE)`, a code or an id.

A name is enough as long as one employee has it. Who has the same name as somebody else has a code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sightline.people.names import normalise_text
from sightline.runtime.errors import ConflictError, NotFoundError
from sightline.storage.db import Cursor

_COLUMNS = "SELECT id, global_id, name, employee_id_code FROM employees"

_NAME_AND_CODE = re.compile(r"(?P<name>.+) \((?P<code>.+)\)")

_MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class EmployeeReference:
    """An employee, by everything that tells them from others."""

    person_id: UUID
    global_id: int
    name: str
    code: str | None

    @property
    def label(self) -> str:
        """`NAME (CODE)`, or the name alone of an employee without a code."""
        return label_of(self.name, self.code)


def label_of(name: str, code: str | None) -> str:
    """Return what tells an employee from others of that name."""
    return f"{name} ({code})" if code else name


def named(cursor: Cursor, name: str) -> list[EmployeeReference]:
    """Return all employees of a name, by code."""
    return _fetch(cursor, "name = %s ORDER BY employee_id_code, id", name)


def with_code(cursor: Cursor, code: str) -> EmployeeReference | None:
    """Return the employee of a code, or None."""
    return next(iter(_fetch(cursor, "employee_id_code = %s", code)), None)


def find(cursor: Cursor, text: str) -> EmployeeReference | None:
    """Return the employee of a name, `NAME (CODE)`, a code or an id, the first of these that fits.

    None if nobody is meant. Raises ConflictError, with the codes, for the name of several people.
    """
    called = normalise_text(text)
    of_name = named(cursor, called)
    if len(of_name) > 1:
        raise ambiguous(called, of_name)
    return of_name[0] if of_name else _find_exact(cursor, called)


def get(cursor: Cursor, text: str) -> EmployeeReference:
    """Return the employee of a name, `NAME (CODE)`, a code or an id.

    Raises NotFoundError, and ConflictError, with the codes, for the name of several people.
    """
    reference = find(cursor, text)
    if reference is None:
        raise NotFoundError(f"nobody is called {text[:80]}; see `sightline employees list`")
    return reference


def enrolled_as(cursor: Cursor, name: str, code: str | None) -> EmployeeReference | None:
    """Return the employee that an enrolment under a name and a code is of; None for a new one.

    A code that nobody has may be that of the one person of the name who has none. Raises
    ConflictError for the name of several people without a code, and for the code of another.
    """
    if code is None:
        return find(cursor, name)
    owner = with_code(cursor, code)
    if owner is not None and owner.name != normalise_text(name):
        raise ConflictError(f"somebody else has this code already: {owner.label}")
    if owner is not None:
        return owner
    return next((person for person in named(cursor, name) if person.code is None), None)


def name_or_employee(cursor: Cursor, text: str) -> tuple[str | None, UUID | None]:
    """Return what a filter of rows by person means: a name as rows have it, or an employee's id.

    The id stands for `NAME (CODE)`, a code or an id. Raises ConflictError, with the codes, for the
    name of several employees.
    """
    called = normalise_text(text)
    enrolled = find(cursor, text)
    if enrolled is not None and enrolled.name != called:
        return None, enrolled.person_id
    return called, None


def ambiguous(name: str, people: Sequence[EmployeeReference]) -> ConflictError:
    """Return the error of a name that several employees have; it lists their codes."""
    labels = [
        person.label if person.code else f"{name} (no code; id {person.person_id})"
        for person in people[:_MAX_LISTED]
    ]
    if len(people) > _MAX_LISTED:
        labels.append(f"{len(people) - _MAX_LISTED} more")
    return ConflictError(
        f"{name[:80]} is the name of {len(people)} people: {', '.join(labels)}; say which"
    )


def _find_exact(cursor: Cursor, text: str) -> EmployeeReference | None:
    parts = _NAME_AND_CODE.fullmatch(text)
    if parts and (person := with_code(cursor, parts["code"])) and person.name == parts["name"]:
        return person
    if person := with_code(cursor, text):
        return person
    try:
        person_id = UUID(text)
    except ValueError:
        return None
    return next(iter(_fetch(cursor, "id = %s", person_id)), None)


def _fetch(cursor: Cursor, condition: str, value: object) -> list[EmployeeReference]:
    rows = cursor.execute(f"{_COLUMNS} WHERE {condition}", (value,)).fetchall()
    return [EmployeeReference(*row) for row in rows]
