"""Enrolment: photos to templates, photos to the object store, the person to the gallery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from schemas.ids import global_id
from sightline.audit import trail
from sightline.identity.calibration import Calibration
from sightline.identity.calibration_store import in_force
from sightline.models.packs import ModelPack
from sightline.people import employees
from sightline.people.employees import Cursor, Details
from sightline.people.enrolment_linking import link_strangers
from sightline.people.photos import Look, Photo, examine, look
from sightline.people.template_similarity import check_agreement, check_nobody_else, templates
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, connect
from sightline.storage.objects import ObjectStore, open_store, safe_name

_SAME_PHOTO = 1e-4
"""Cosine distance under which a template is the same photo once more."""

_ASKED_WRONGLY = 0.01
"""Of people whose face nobody has, so many are taken for somebody who is enrolled, and `anyway`
has to say that they are not. More than may be named wrongly: to have one person under two names
is worse, for neither is found any more."""

_ORPHANED_AFTER = timedelta(hours=1)
"""No enrolment takes as long."""

_STALE = """
INSERT INTO stale_objects (key, stale_at) VALUES (%s, now() + %s)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What enrolling has done."""

    person_id: UUID
    name: str
    is_new: bool
    added: int  # photos that were not there before
    pack: str
    face_id: UUID
    """Of the best template among the photos given."""
    global_id: int
    changed: bool
    """Whether there is anything that was not so before."""
    linked: list[int]
    """Global ids of strangers who turned out to be this person."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What refreshing one person has done: photos embedded, and why others could not be."""

    name: str
    added: int
    refused: tuple[str, ...]


def enrol(
    settings: Settings,
    pack: ModelPack,
    name: str,
    photos: Sequence[Photo],
    details: Details,
    *,
    new_only: bool = False,
    anyway: bool = False,
) -> Enrolled:
    """Enrol a person, or add photos to the one of that name; all of it or nothing.

    `anyway` takes photos that disagree, and a face that somebody else is enrolled with (twins).

    Raises SightlineError for a name or a detail that cannot be taken, PhotoError for a photo,
    ConflictError for somebody else's e-mail address or code, and with `new_only` for a name.
    """
    name = employees.checked_name(name)
    details = details.checked()
    if not photos:
        raise SightlineError("give at least one photo")
    looks = [look(photo, pack, settings) for photo in photos]
    with connect(settings, autocommit=True) as db:
        # Undone before the transaction is, while nobody else can take the same keys.
        with db.transaction(), db.cursor() as cursor, _objects(settings, cursor) as put:
            employees.lock_enrolment(cursor)
            people = employees.count(db)
            calibration = in_force(db, pack.id)
            scale = calibration.scale(people, settings.match.wanted_false_name_rate)
            person, is_new = employees.find_or_add(cursor, name, Details())
            if new_only and not is_new:
                raise ConflictError(f"{name} is enrolled already")
            with employees.clashes_explained():
                updated = employees.update(cursor, person, details)
            if not anyway:
                _check(cursor, pack.id, person, looks, calibration, people)
            added = sum([_add(cursor, put, person, name, pack.id, one) for one in looks])
            changed = is_new or updated or added > 0
            if changed:
                employees.publish(cursor, person)
            face = _face_id(cursor, person, pack.id, looks)
            trail.seal(cursor, global_id(str(person)))
        with db.transaction():  # on its own, for it has to wait for those who write the logs
            shots = settings.match.newcomer_shots
            linked = link_strangers(db.cursor(), pack.id, person, scale, shots)
    return Enrolled(
        person_id=person,
        name=name,
        is_new=is_new,
        added=added,
        pack=pack.id,
        face_id=face,
        global_id=global_id(str(person)),
        changed=changed,
        linked=linked,
    )


def _check(
    cursor: Cursor,
    pack: str,
    person: UUID,
    looks: Sequence[Look],
    calibration: Calibration,
    people: int,
) -> None:
    agree = calibration.scale(people, _ASKED_WRONGLY).agree
    check_agreement(templates(cursor, person, pack), looks, agree)
    # No rate is promised below what was measured: there it asks more often.
    rate = max(_ASKED_WRONGLY / max(people, 1), calibration.supported)
    check_nobody_else(cursor, pack, person, looks, calibration.threshold(1, rate))


def _face_id(cursor: Cursor, person: UUID, pack: str, looks: Sequence[Look]) -> UUID:
    best = max(looks, key=lambda one: one.quality)
    face = employees.look_id(cursor, person, pack, best, _SAME_PHOTO)
    if face is None:
        raise AssertionError("a look that was just added is not there")
    return face


def refresh(settings: Settings, pack: ModelPack) -> Iterator[Refreshed]:
    """Embed everybody's stored photos with a pack that does not know them yet."""
    store = open_store(settings)
    with connect(settings) as db:
        for row in employees.listed(db):
            db.commit()
            try:
                yield _refresh_one(db, store, settings, pack, row["name"])
            except NotFoundError:
                db.rollback()  # removed since the list was read
            db.commit()


def _refresh_one(
    db: Connection, store: ObjectStore, settings: Settings, pack: ModelPack, name: str
) -> Refreshed:
    refused: list[str] = []
    added = 0
    with db.cursor() as cursor:
        person = employees.lock(cursor, name)
        known = employees.photo_urls(cursor, person, pack.id)
        for key in employees.photo_urls(cursor, person):
            if key in known:
                continue
            try:
                one = examine(store.get(key), key, pack, settings)
            except SightlineError as error:
                refused.append(str(error))
                continue
            employees.add_look(cursor, person, pack.id, key, one)
            added += 1
        if added:
            employees.publish(cursor, person)
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
    if employees.look_id(cursor, person, pack, one, _SAME_PHOTO) is not None:
        return False
    taken = set(employees.photo_urls(cursor, person))
    key = next(key for key in _photo_keys(name) if key not in taken)
    put(key, one.jpeg)
    employees.add_look(cursor, person, pack, key, one)
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
def _objects(settings: Settings, cursor: Cursor) -> Iterator[Callable[[str, bytes], None]]:
    """A way to write objects that are gone again when what follows fails.

    Whatever becomes of this process: each is noted as stale first, for the snapshot sink to
    delete, and the transaction that says otherwise may never commit.
    """
    store = open_store(settings)
    written: list[str] = []
    with connect(settings, autocommit=True) as notes:

        def put(key: str, data: bytes) -> None:
            notes.execute(_STALE, (key, _ORPHANED_AFTER))
            cursor.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
            written.append(key)
            store.put(key, data, "image/jpeg")

        try:
            yield put
        except BaseException:
            for key in written:
                store.delete(key)
            raise
