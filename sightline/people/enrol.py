"""Enrolment: photos to templates, photos to the object store, the person to the gallery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sightline.errors import SightlineError
from sightline.people import records
from sightline.people.photos import Look, look, read_photo
from sightline.people.records import Cursor, Details
from sightline.settings import Settings
from sightline.store.db import Connection, connect
from sightline.store.objects import ObjectStore, open_store, safe_name
from sightline.vision.packs import ModelPack

_SAME_PHOTO = 1e-4
"""Cosine distance under which a template is the same photo once more."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What enrolling has done."""

    person_id: UUID
    name: str
    is_new: bool
    added: int  # photos that were not there before
    pack: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What refreshing one person has done: photos embedded, and why others could not be."""

    name: str
    added: int
    refused: tuple[str, ...]


def enrol(
    settings: Settings, pack: ModelPack, name: str, photos: Sequence[Path], details: Details
) -> Enrolled:
    """Enrol a person, or add photos to the one of that name; all of it or nothing.

    Raises SightlineError for a name, a detail or a photo that cannot be taken.
    """
    name = records.checked_name(name)
    details = details.checked()
    if not photos:
        raise SightlineError("give at least one photo")
    looks = [look(read_photo(path), str(path), pack, settings) for path in photos]
    with connect(settings) as db, _undone_on_failure(open_store(settings)) as put:
        with db.cursor() as cursor, records.clashes_explained():
            person, is_new = records.find_or_add(cursor, name, details)
            added = sum([_add(cursor, put, person, name, pack.id, one) for one in looks])
            records.publish(cursor, person)
        db.commit()
    return Enrolled(person, name, is_new, added, pack.id)


def refresh(settings: Settings, pack: ModelPack) -> Iterator[Refreshed]:
    """Embed everybody's stored photos with a pack that does not know them yet."""
    store = open_store(settings)
    with connect(settings) as db:
        for row in records.listed(db):
            db.commit()
            yield _refresh_one(db, store, settings, pack, row["name"])
            db.commit()


def _refresh_one(
    db: Connection, store: ObjectStore, settings: Settings, pack: ModelPack, name: str
) -> Refreshed:
    refused: list[str] = []
    added = 0
    with db.cursor() as cursor:
        person = records.lock(cursor, name)
        known = records.photo_urls(cursor, person, pack.id)
        for key in records.photo_urls(cursor, person):
            if key in known:
                continue
            try:
                one = look(store.get(key), key, pack, settings)
            except SightlineError as error:
                refused.append(str(error))
                continue
            records.add_look(cursor, person, pack.id, key, one)
            added += 1
        if added:
            records.publish(cursor, person)
    return Refreshed(name, added, tuple(refused))


def _add(
    cursor: Cursor,
    put: Callable[[str, bytes], None],
    person: UUID,
    name: str,
    pack: str,
    one: Look,
) -> bool:
    """Add a photo unless the person has it; True where it was added."""
    if records.has_look(cursor, person, pack, one, _SAME_PHOTO):
        return False
    taken = set(records.photo_urls(cursor, person))
    key = next(key for key in _photo_keys(name) if key not in taken)
    put(key, one.jpeg)
    records.add_look(cursor, person, pack, key, one)
    return True


def _photo_keys(name: str) -> Iterator[str]:
    """NAME.jpg, NAME-2.jpg, ... : no other person's name makes one of these."""
    stem = f"enrollment_photos/{safe_name(name)}"
    yield f"{stem}.jpg"
    number = 2
    while True:
        yield f"{stem}-{number}.jpg"
        number += 1


@contextmanager
def _undone_on_failure(store: ObjectStore) -> Iterator[Callable[[str, bytes], None]]:
    """A way to write objects that are deleted again when what follows fails."""
    written: list[str] = []

    def put(key: str, data: bytes) -> None:
        store.put(key, data, "image/jpeg")
        written.append(key)

    try:
        yield put
    except BaseException:
        for key in written:
            store.delete(key)
        raise
