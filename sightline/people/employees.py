"""Enrolled people in the database, and what the gallery topic is told about them.

Every change locks the person's row first, raises its revision and puts the person's new record
into the outbox, all in the caller's transaction.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, cast
from uuid import UUID, uuid4

import numpy as np
import psycopg
from pgvector import Vector
from psycopg.rows import TupleRow, dict_row

from schemas import sightline_pb2 as pb
from schemas.decode import MAX_NAME
from schemas.ids import global_id
from schemas.topics import GALLERY
from sightline.people import identity_corrections
from sightline.people.photo_rejections import Reason
from sightline.people.photos import Look
from sightline.people.template_similarity import named_templates
from sightline.runtime.errors import ConflictError, NotFoundError, PhotoError, SightlineError
from sightline.storage import face_columns
from sightline.storage.db import Connection
from sightline.storage.outbox import enqueue
from sightline.storage.run_schemas import forget_faces

Cursor = psycopg.Cursor[TupleRow]

MAX_LOOKS = 100
"""Photos of one person for one pack: all packs' templates have to fit into one gallery record."""

STATUSES = ("active", "suspended", "left")
"""What a person's status can be; only active people are ever authorised."""

_ENROLMENT_LOCK = 0x516874_E401
"""Advisory lock: one at a time looks whether a face is enrolled already, and adds it."""


@dataclass(frozen=True, slots=True)
class Details:
    """What can be said of a person; None leaves it as it is."""

    department: str | None = None
    email: str | None = None
    employee_id_code: str | None = None
    status: str | None = None
    is_authorized: bool | None = None

    def given(self) -> dict[str, str | bool]:
        """The columns that are to change."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    def checked(self) -> "Details":
        """The same. Raises SightlineError for what no column takes."""
        _check_text("the department", self.department, 200)
        _check_text("the e-mail address", self.email, 320)
        _check_text("the code", self.employee_id_code, 64)
        if self.email is not None and "@" not in self.email:
            raise SightlineError(f"{self.email} is no e-mail address")
        if self.status is not None and self.status not in STATUSES:
            raise SightlineError(f"a status is {', '.join(STATUSES)}, not {self.status[:40]}")
        return self


def checked_name(name: str) -> str:
    """A person's name, tidied. Raises SightlineError for one that cannot be."""
    tidy = unicodedata.normalize("NFC", " ".join(part for part in name.split(" ") if part))
    if not tidy:
        raise SightlineError("the name is empty")
    _check_text("the name", tidy, MAX_NAME)
    if tidy.casefold() == "unknown":
        raise SightlineError("nobody can be called Unknown: the logs call strangers that")
    return tidy


def _check_text(what: str, text: str | None, longest: int) -> None:
    if text is None:
        return
    if not text or len(text) > longest:
        raise SightlineError(f"{what} has {len(text)} characters; 1 to {longest} are possible")
    if not text.isprintable():
        raise SightlineError(f"{what} has control characters in it")


@contextmanager
def clashes_explained() -> Iterator[None]:
    """Say in one line whose e-mail address or code it is already."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        column = (error.diag.constraint_name or "").removeprefix("employees_").removesuffix("_key")
        what = {"email": "e-mail address", "employee_id_code": "code"}.get(column, column)
        raise ConflictError(f"somebody else has this {what} already") from error


def lock_enrolment(cursor: Cursor) -> None:
    """Keep others from enrolling until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_ENROLMENT_LOCK,))


def count(db: Connection) -> int:
    """How many people are enrolled."""
    (people,) = db.execute("SELECT count(*) FROM employees").fetchone() or (0,)
    return int(people)


def find_or_add(cursor: Cursor, name: str, details: Details) -> tuple[UUID, bool]:
    """The person of a name, locked, with the details set; True where they are new."""
    new = uuid4()
    cursor.execute(
        "INSERT INTO employees (id, global_id, name) VALUES (%s, %s, %s)"
        " ON CONFLICT (name) DO NOTHING RETURNING id",
        (new, global_id(str(new)), name),
    )
    is_new = cursor.fetchone() is not None
    person = new if is_new else lock(cursor, name)
    update(cursor, person, details)
    return person, is_new


def lock(cursor: Cursor, name: str) -> UUID:
    """Lock the row of the person of a name. Raises NotFoundError where there is none."""
    cursor.execute("SELECT id FROM employees WHERE name = %s FOR UPDATE", (name,))
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"nobody is called {name[:80]}; see `sightline employees list`")
    return cast(UUID, row[0])


def lock_id(cursor: Cursor, person: UUID) -> str:
    """Lock the row of a person; their name. Raises NotFoundError where there is none."""
    cursor.execute("SELECT name FROM employees WHERE id = %s FOR UPDATE", (person,))
    row = cursor.fetchone()
    if row is None:
        raise NotFoundError(f"nobody is enrolled with the id {person}")
    return cast(str, row[0])


def update(cursor: Cursor, person: UUID, details: Details) -> bool:
    """Set what is given; whether that changes anything."""
    given = details.checked().given()
    if not given:
        return False
    columns = ", ".join(f"{name} = %({name})s" for name in given)
    differs = " OR ".join(f"{name} IS DISTINCT FROM %({name})s" for name in given)
    cursor.execute(
        f"UPDATE employees SET {columns} WHERE id = %(id)s AND ({differs})",  # noqa: S608 - ours
        given | {"id": person},
    )
    return cursor.rowcount > 0


def add_look(cursor: Cursor, person: UUID, pack: str, photo_url: str, look: Look) -> None:
    """Add one template. Raises PhotoError when the person has as many as can be kept."""
    cursor.execute(
        "SELECT count(*) FROM face_templates WHERE employee_id = %s AND pack = %s", (person, pack)
    )
    if cast(tuple[int], cursor.fetchone())[0] >= MAX_LOOKS:
        raise PhotoError(
            Reason.TOO_MANY_PHOTOS, f"this person has {MAX_LOOKS} photos already: that is enough"
        )
    template = uuid4()
    columns = face_columns.to_columns(cursor, face_columns.of_template(template), look.vector)
    cursor.execute(
        "INSERT INTO face_templates (template_id, employee_id, pack, embedding, embedding_sealed,"
        " quality, photo_url) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (template, person, pack, *columns, look.quality, photo_url),
    )
    cursor.execute(
        "UPDATE employees SET photo_url = coalesce(photo_url, %s) WHERE id = %s",
        (photo_url, person),
    )


def look_id(cursor: Cursor, person: UUID, pack: str, look: Look, distance: float) -> UUID | None:
    """The person's template nearest to a look, within a cosine distance."""
    away = {
        template: 1.0 - float(np.dot(look.vector.astype(np.float64), face))
        for template, face in named_templates(cursor, person, pack).items()
    }
    nearest = min(away, key=lambda template: away[template], default=None)
    return nearest if nearest is not None and away[nearest] < distance else None


def publish(cursor: Cursor, person: UUID) -> None:
    """Raise the person's revision and tell the gallery what they are now."""
    cursor.execute("UPDATE employees SET revision = revision + 1 WHERE id = %s", (person,))
    enqueue(cursor, GALLERY.name, str(person), told(cursor, person).SerializeToString())


def told(cursor: Cursor, person: UUID) -> pb.GalleryPerson:
    """What the gallery is told of a person as they are now. Raises NotFoundError."""
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
        templates=[_template(cursor, *row) for row in cursor],
    )


def _template(
    cursor: Cursor,
    template: UUID,
    pack: str,
    embedding: Vector | None,
    sealed: bytes | None,
    quality: float,
) -> pb.Template:
    face = face_columns.from_columns(cursor, face_columns.of_template(template), embedding, sealed)
    vector = b"" if face is None else face.astype("<f4").tobytes()
    return pb.Template(template_id=str(template), pack=pack, vector=vector, quality=quality)


def everybody(cursor: Cursor) -> list[UUID]:
    """The ids of all who are enrolled."""
    cursor.execute("SELECT id FROM employees ORDER BY id")
    return [row[0] for row in cursor]


# Logs keep the name as a text. What is told of them from now on finds nobody with that id.
_UNNAMED = """
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
    """Delete a person with their templates, take their name off their snapshots, tell the gallery.

    Returns the keys of their photos, which become stale objects: `manage` deletes them, or the
    snapshot sink. Lock the corrections (`overlay`) before the person.
    """
    identity_corrections.lock(cursor)
    photos = photo_urls(cursor, person)
    cursor.execute("DELETE FROM employees WHERE id = %s", (person,))
    unname(cursor, global_id(str(person)))
    cursor.executemany(
        "INSERT INTO stale_objects (key) VALUES (%s)"
        " ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at",
        [(key,) for key in photos],
    )
    enqueue(cursor, GALLERY.name, str(person), None)
    return photos


def unname(cursor: Cursor, person: int) -> None:
    """Take the name and the looks of somebody who was removed off their tracks and pictures."""
    cursor.execute(_UNNAMED, {"global_id": person})
    forget_faces(cursor, person)


def photo_urls(cursor: Cursor, person: UUID, pack: str | None = None) -> list[str]:
    """Keys of a person's stored photos, the oldest first: all, or those that a pack knows."""
    cursor.execute(
        "SELECT photo_url FROM face_templates WHERE employee_id = %(person)s"
        " AND photo_url IS NOT NULL AND (%(pack)s::text IS NULL OR pack = %(pack)s)"
        " GROUP BY photo_url ORDER BY min(created_at), photo_url",
        {"person": person, "pack": pack},
    )
    return [row[0] for row in cursor]


_LIST = """
SELECT e.name, e.status, e.is_authorized, e.department, e.email, e.employee_id_code,
       count(DISTINCT t.photo_url) AS photos,
       array_remove(array_agg(DISTINCT t.pack), NULL) AS packs,
       e.enrolled_at, e.last_seen
FROM employees e LEFT JOIN face_templates t ON t.employee_id = e.id
GROUP BY e.id ORDER BY e.name
"""


def listed(db: Connection) -> Sequence[dict[str, Any]]:
    """Everybody enrolled, by name."""
    with db.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LIST).fetchall()


def shown(db: Connection, name: str) -> dict[str, Any]:
    """All that is kept of one person, vectors left out. Raises SightlineError."""
    with db.cursor(row_factory=dict_row) as cursor:
        person = cursor.execute("SELECT * FROM employees WHERE name = %s", (name,)).fetchone()
        if person is None:
            raise SightlineError(f"nobody is called {name[:80]}; see `sightline employees list`")
        templates = cursor.execute(
            "SELECT template_id, pack, face_dimension(embedding, embedding_sealed) AS dimension,"
            " quality, photo_url, created_at FROM face_templates WHERE employee_id = %s"
            " ORDER BY created_at",
            (person["id"],),
        ).fetchall()
    return person | {"templates": templates}
