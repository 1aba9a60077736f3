"""Changing and removing people, each in one transaction that the gallery hears of."""

from contextlib import suppress
from uuid import UUID

from schemas.ids import global_id
from sightline.audit import trail
from sightline.people import corrections, employees, identity_corrections
from sightline.people.employees import Cursor, Details
from sightline.runtime.errors import NotFoundError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.storage.objects import open_store

_MADE_BY = "removal"


def change(settings: Settings, who: str | UUID, details: Details) -> bool:
    """Set what is given of the person of a name or an id; whether anything is different now.

    Raises NotFoundError, ConflictError for somebody else's e-mail address or code, and
    SightlineError for what cannot be.
    """
    with connect(settings, autocommit=True) as db, db.transaction(), employees.clashes_explained():
        cursor = db.cursor()
        person = _lock(cursor, who)
        changed = employees.update(cursor, person, details)
        if changed:
            employees.publish(cursor, person)
        trail.seal(cursor, global_id(str(person)))
    return changed


def remove(settings: Settings, who: str | UUID) -> int:
    """Remove the person of a name or an id; how many photos they had.

    Nobody is recognised as them any more, nor as a stranger of that face, and no snapshot shows
    it with their name. Logs keep what they say. Raises NotFoundError.
    """
    with connect(settings, autocommit=True) as db:
        with db.transaction():
            cursor = db.cursor()
            identity_corrections.lock(cursor)  # first of all locks
            person = _lock(cursor, who)
            photos = employees.remove(cursor, person)
            # What cameras have seen of them is not a stranger from now on.
            with suppress(NotFoundError):  # seen by none
                corrections.forget(cursor, global_id(str(person)), _MADE_BY)
            trail.seal(cursor, global_id(str(person)))
        _delete_objects(settings, db, photos)
    return len(photos)


def _lock(cursor: Cursor, who: str | UUID) -> UUID:
    if isinstance(who, str):
        return employees.lock(cursor, who)
    employees.lock_id(cursor, who)
    return who


def _delete_objects(settings: Settings, db: Connection, keys: list[str]) -> None:
    """Delete what nobody has written again since, and nobody else deletes just now."""
    store = open_store(settings)
    with db.transaction():
        stale = db.execute(
            "SELECT key FROM stale_objects WHERE key = ANY(%s) FOR UPDATE SKIP LOCKED", (keys,)
        ).fetchall()
        for (key,) in stale:
            store.delete(key)
            db.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
