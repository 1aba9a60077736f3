"""Rows of employees and their templates, and the records of the topic `gallery` made of them.

Every change locks the employee's row first, raises its revision and puts the new gallery record
into the outbox, all in the caller's transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, cast
from uuid import UUID, uuid4

import numpy as np
import psycopg

from schemas import sightline_pb2 as pb
from schemas.ids import global_id
from schemas.naming import AdvisoryLock, template_context
from schemas.topics import GALLERY
from sightline.people import employee_lookup, identity_corrections
from sightline.people.names import checked_text
from sightline.people.photo_rejections import Reason
from sightline.people.photos import PhotoTemplate
from sightline.people.template_similarity import templates_by_id
from sightline.runtime.errors import ConflictError, NotFoundError, PhotoError, SightlineError
from sightline.storage import face_columns
from sightline.storage.db import Connection, Cursor, dict_rows
from sightline.storage.outbox import enqueue
from sightline.storage.run_schemas import delete_embeddings

MAX_TEMPLATES = 100
"""Templates of one person and pack: those of all packs must fit into one gallery record."""

STATUSES = ("active", "suspended", "left")
"""Values of a person's status; only an active person can be authorised."""


@dataclass(frozen=True, slots=True)
class EmployeeProfile:
    """Details of an employee; None leaves a column unchanged."""

    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None
    status: str | None = None
    is_authorized: bool | None = None

    def changes(self) -> dict[str, str | bool]:
        """Return the columns to change with their values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def validated(self) -> "EmployeeProfile":
        """Return these details as they are stored. Raises SightlineError for an invalid value."""
        if self.status is not None and self.status not in STATUSES:
            raise SightlineError(f"a status is {', '.join(STATUSES)}, not {self.status[:40]}")
        email = _checked("the e-mail address", self.email, 320)
        if email is not None and "@" not in email:
            raise SightlineError(f"{email} is no e-mail address")
        return replace(
            self,
            department=_checked("the department", self.department, 200),
            email=email,
            employee_id_code=_checked("the code", self.employee_id_code, 64),
        )


def _checked(subject: str, text: str | None, longest: int) -> str | None:
    return None if text is None else checked_text(subject, text, longest)


@contextmanager
def unique_conflicts() -> Iterator[None]:
    """Raise ConflictError for an e-mail address or code that another employee has."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        column = (error.diag.constraint_name or "").removeprefix("employees_").removesuffix("_key")
        label = {"email": "e-mail address", "employee_id_code": "code"}.get(column, column)
        raise ConflictError(f"somebody else has this {label} already") from error


def lock_enrolment(cursor: Cursor) -> None:
    """Keep others from enrolling until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (AdvisoryLock.ENROLMENT,))


def count(db: Connection) -> int:
    """Return the number of employees."""
    (people,) = db.execute("SELECT count(*) FROM employees").fetchone() or (0,)
    return int(people)


def add(cursor: Cursor, name: str, code: str | None = None) -> UUID:
    """Add an employee; return the id. Several may have a name, all but one of them with a code."""
    new = uuid4()
    cursor.execute(
        "INSERT INTO employees (id, global_id, name, employee_id_code) VALUES (%s, %s, %s, %s)",
        (new, global_id(str(new)), name, code),
    )
    return new


def find_or_add(cursor: Cursor, name: str, details: EmployeeProfile) -> tuple[UUID, bool]:
    """Lock or add the employee of a name, and of the code where the details have one.

    Sets the details; returns the id, and True if added. Raises ConflictError.
    """
    code = details.employee_id_code
    enrolled = employee_lookup.enrolled_as(cursor, name, code)
    person = add(cursor, name, code) if enrolled is None else enrolled.person_id
    if enrolled is not None:
        lock_id(cursor, person)
    update(cursor, person, details)
    return person, enrolled is None


def lock(cursor: Cursor, text: str) -> UUID:
    """Lock an employee's row by name, code or id; return the id.

    Raises NotFoundError, and ConflictError for the name of several people.
    """
    person = employee_lookup.get(cursor, text).person_id
    lock_id(cursor, person)
    return person


def lock_id(cursor: Cursor, person: UUID) -> str:
    """Lock an employee's row by id; return the name. Raises NotFoundError."""
    cursor.execute("SELECT name FROM employees WHERE id = %s FOR UPDATE", (person,))
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"nobody is enrolled with the id {person}")
    return cast(str, row[0])


def update(cursor: Cursor, person: UUID, details: EmployeeProfile) -> bool:
    """Set an employee's details; return True if that changes anything."""
    changes = details.validated().changes()
    if not changes:
        return False
    columns = ", ".join(f"{name} = %({name})s" for name in changes)
    differs = " OR ".join(f"{name} IS DISTINCT FROM %({name})s" for name in changes)
    cursor.execute(
        f"UPDATE employees SET {columns} WHERE id = %(id)s AND ({differs})",  # noqa: S608 - ours
        changes | {"id": person},
    )
    return cursor.rowcount > 0


def add_template(
    cursor: Cursor, person: UUID, pack: str, photo_url: str, photo_template: PhotoTemplate
) -> None:
    """Add a template. Raises PhotoError TOO_MANY_PHOTOS."""
    cursor.execute(
        "SELECT count(*) FROM face_templates WHERE employee_id = %s AND pack = %s", (person, pack)
    )
    if cast(tuple[int], cursor.fetchone())[0] >= MAX_TEMPLATES:
        raise PhotoError(
            Reason.TOO_MANY_PHOTOS,
            f"this person has {MAX_TEMPLATES} photos already: that is enough",
        )
    template = uuid4()
    columns = face_columns.to_columns(cursor, template_context(template), photo_template.embedding)
    cursor.execute(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, embedding_sealed,"
        " quality, photo_url) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (template, person, pack, *columns, photo_template.quality, photo_url),
    )
    cursor.execute(
        "UPDATE employees SET photo_url = coalesce(photo_url, %s) WHERE id = %s",
        (photo_url, person),
    )


def nearest_template(
    cursor: Cursor, person: UUID, pack: str, photo_template: PhotoTemplate, max_distance: float
) -> UUID | None:
    """Return the id of the person's template nearest to a photo's, within a cosine distance."""
    distances = {
        template: 1.0 - float(np.dot(photo_template.embedding.astype(np.float64), face))
        for template, face in templates_by_id(cursor, person, pack).items()
    }
    nearest = min(distances, key=lambda template: distances[template], default=None)
    return nearest if nearest is not None and distances[nearest] < max_distance else None


def publish(cursor: Cursor, person: UUID) -> None:
    """Raise the employee's revision and enqueue their gallery record."""
    cursor.execute("UPDATE employees SET revision = revision + 1 WHERE id = %s", (person,))
    enqueue(cursor, GALLERY.name, str(person), gallery_message(cursor, person).SerializeToString())


def gallery_message(cursor: Cursor, person: UUID) -> pb.GalleryPerson:
    """Build an employee's gallery record. Raises NotFoundError."""
    cursor.execute(
        "SELECT name, status, is_authorized, revision FROM employees WHERE id = %s", (person,)
    )
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"nobody is enrolled with the id {person}")
    name, status, is_authorized, revision = row
    cursor.execute(
        "SELECT template_id, pack, embedding, embedding_sealed, quality FROM face_templates"
        " WHERE employee_id = %s ORDER BY created_at, template_id",
        (person,),
    )
    return pb.GalleryPerson(
        person_id=str(person),
        name=name,
        status=status,
        is_authorized=is_authorized,
        revision=revision,
        templates=[
            pb.Template(
                template_id=str(template),
                pack=pack,
                quality=quality,
                vector=_vector(cursor, template, *columns),
            )
            for template, pack, *columns, quality in cursor
        ],
    )


def _vector(cursor: Cursor, template: UUID, *columns: Any) -> bytes:
    face = face_columns.from_columns(cursor, template_context(template), *columns)
    return b"" if face is None else face.astype("<f4").tobytes()


def employee_ids(cursor: Cursor) -> list[UUID]:
    """Return the ids of all employees."""
    return [row[0] for row in cursor.execute("SELECT id FROM employees ORDER BY id")]


# Logs keep the name as text. Sightings that come later find no employee of that id.
_REMOVE_NAME = """
WITH unnamed AS (
    UPDATE snapshot_owners SET persons_name = NULL
    WHERE global_id = %(global_id)s AND persons_name IS NOT NULL RETURNING sighting_id
), renamed AS (
    INSERT INTO stale_snapshots (sighting_id) SELECT sighting_id FROM unnamed
    ON CONFLICT DO NOTHING
), tracks AS (
    UPDATE person_tracks
    SET person_id = NULL, name = NULL, embedding = NULL, embedding_sealed = NULL
    WHERE global_id = %(global_id)s RETURNING global_id
), state AS (
    UPDATE detected_persons
    SET person_id = NULL, assigned_name = NULL, face_embedding = NULL, face_embedding_sealed = NULL
    WHERE global_id = %(global_id)s
)
INSERT INTO stale_persons (global_id) SELECT DISTINCT global_id FROM tracks ON CONFLICT DO NOTHING
"""


def remove(cursor: Cursor, person: UUID) -> list[str]:
    """Delete an employee with templates and name, and enqueue the gallery's tombstone.

    Returns the keys of their photos, which become stale objects: `manage` deletes them, or the
    snapshot sink. The caller locks the corrections (`overlay`) before the employee.
    """
    identity_corrections.lock_exclusive(cursor)
    photos = photo_urls(cursor, person)
    cursor.execute("DELETE FROM employees WHERE id = %s", (person,))
    remove_name(cursor, global_id(str(person)))
    cursor.executemany(
        "INSERT INTO stale_objects (key) VALUES (%s)"
        " ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at",
        [(key,) for key in photos],
    )
    enqueue(cursor, GALLERY.name, str(person), None)
    return photos


def remove_name(cursor: Cursor, person: int) -> None:
    """Delete a removed employee's name and embeddings from their tracks and snapshots."""
    cursor.execute(_REMOVE_NAME, {"global_id": person})
    delete_embeddings(cursor, person)


def photo_urls(cursor: Cursor, person: UUID, pack: str | None = None) -> list[str]:
    """Return the keys of a person's photos, the oldest first: all, or only a pack's."""
    cursor.execute(
        "SELECT photo_url FROM face_templates WHERE employee_id = %(person)s"
        " AND photo_url IS NOT NULL AND (%(pack)s::text IS NULL OR pack = %(pack)s)"
        " GROUP BY photo_url ORDER BY min(created_at), photo_url",
        {"person": person, "pack": pack},
    )
    return [row[0] for row in cursor]


def photo_urls_of_name(cursor: Cursor, name: str) -> set[str]:
    """Return the keys of the photos of all employees of a name, whose keys have one form."""
    cursor.execute(
        "SELECT photo_url FROM face_templates WHERE photo_url IS NOT NULL"
        " AND employee_id IN (SELECT id FROM employees WHERE name = %s)",
        (name,),
    )
    return {row[0] for row in cursor}


def code_of(cursor: Cursor, person: UUID) -> str | None:
    """Return the code of an employee, None without one."""
    row = cursor.execute(
        "SELECT employee_id_code FROM employees WHERE id = %s", (person,)
    ).fetchone()
    return row[0] if row else None


_LIST = """
SELECT e.id, e.name, e.status, e.is_authorized, e.department, e.email, e.employee_id_code,
       count(DISTINCT t.photo_url) AS photos,
       array_remove(array_agg(DISTINCT t.pack), NULL) AS packs,
       e.enrolled_at, e.last_seen
FROM employees e LEFT JOIN face_templates t ON t.employee_id = e.id
GROUP BY e.id ORDER BY e.name, e.employee_id_code
"""


def list_employees(db: Connection) -> Sequence[dict[str, Any]]:
    """Return all employees ordered by name, as dicts of their columns."""
    return dict_rows(db, _LIST)


def get_employee(db: Connection, person: UUID) -> dict[str, Any]:
    """Return an employee's row and templates, without vectors. Raises NotFoundError."""
    people = dict_rows(db, "SELECT * FROM employees WHERE id = %s", (person,))
    if not people:
        raise NotFoundError(f"nobody is enrolled with the id {person}")
    templates = dict_rows(
        db,
        "SELECT template_id, pack, face_dimension(embedding, embedding_sealed) AS dimension,"
        " quality, photo_url, created_at FROM face_templates WHERE employee_id = %s"
        " ORDER BY created_at",
        (people[0]["id"],),
    )
    return people[0] | {"templates": templates}
