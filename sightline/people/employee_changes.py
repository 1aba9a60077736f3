"""Changes and removal of employees, each in one transaction with its gallery record."""

from contextlib import suppress
from uuid import UUID

from schemas.ids import global_id
from sightline.audit import trail
from sightline.people import corrections, employees, identity_corrections
from sightline.people.employees import EmployeeProfile
from sightline.runtime.errors import NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect
from sightline.storage.objects import open_store

_MADE_BY = "removal"


def change(settings: Settings, name_or_id: str | UUID, details: EmployeeProfile) -> bool:
    """Change details of an employee by name, code or id; return True if anything has changed.

    Raises NotFoundError, ConflictError for the name of several people and for an e-mail address or
    code in use, and SightlineError for an invalid detail.
    """
    with connect(settings, autocommit=True) as db, db.transaction(), employees.unique_conflicts():
        cursor = db.cursor()
        person = _lock(cursor, name_or_id)
        changed = employees.update(cursor, person, details)
        if changed:
            employees.publish(cursor, person)
        trail.write_entry(cursor, global_id(str(person)))
    return changed


def remove(settings: Settings, name_or_id: str | UUID) -> int:
    """Remove an employee by name, code or id; return the number of their photos.

    The matcher forgets the face, also as an unknown person's, and snapshots lose the name. The
    logs stay as they are. Raises NotFoundError, and ConflictError for the name of several people.
    """
    with connect(settings, autocommit=True) as db:
        with db.transaction():
            cursor = db.cursor()
            identity_corrections.lock_exclusive(cursor)  # always the first lock
            person = _lock(cursor, name_or_id)
            photos = employees.remove(cursor, person)
            # Their former sightings must not become an unknown person.
            with suppress(NotFoundError):  # no camera has seen them
                corrections.forget(cursor, global_id(str(person)), _MADE_BY)
            trail.write_entry(cursor, global_id(str(person)))
        _delete_objects(settings, db, photos)
    return len(photos)


def _lock(cursor: Cursor, name_or_id: str | UUID) -> UUID:
    if isinstance(name_or_id, str):
        return employees.lock(cursor, name_or_id)
    employees.lock_id(cursor, name_or_id)
    return name_or_id


def _delete_objects(settings: Settings, db: Connection, keys: list[str]) -> None:
    """Delete objects that are still stale and that no other process is deleting."""
    store = open_store(settings)
    with db.transaction():
        stale = db.execute(
            "SELECT key FROM stale_objects WHERE key = ANY(%s) FOR UPDATE SKIP LOCKED", (keys,)
        ).fetchall()
        for (key,) in stale:
            store.delete(key)
            db.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
