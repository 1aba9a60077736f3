"""Enrolment: templates from photos, photos to the object store, the employee to the gallery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from schemas.ids import global_id
from schemas.naming import photo_keys
from sightline.audit import trail
from sightline.identity.calibration import Calibration
from sightline.identity.calibration_store import calibration_in_force
from sightline.models.interface import ModelPack
from sightline.people import employee_lookup, employees, template_similarity
from sightline.people.employees import EmployeeProfile
from sightline.people.enrolment_linking import link_unknown_persons
from sightline.people.names import checked_name
from sightline.people.photos import PhotoTemplate, template_of_jpeg, template_of_photo
from sightline.people.picture_files import Photo
from sightline.runtime.errors import ConflictError, NotFoundError, SightlineError
from sightline.runtime.settings import Settings
from sightline.storage.db import Connection, Cursor, connect
from sightline.storage.objects import ObjectStore, open_store

_SAME_PHOTO_DISTANCE = 1e-4
"""Cosine distance below which two templates are of the same photo."""

_FALSE_ALARM_RATE = 0.01
"""Fraction of people not yet enrolled whose photo is refused as somebody else's, so that `anyway`
is needed. It is above the rate of false names, because one person enrolled under two names is
worse: the matcher names neither."""

_ORPHANED_AFTER = timedelta(hours=1)
"""Longer than any enrolment takes."""

_STALE = """
INSERT INTO stale_objects (key, stale_at) VALUES (%s, now() + %s)
ON CONFLICT (key) DO UPDATE SET stale_at = excluded.stale_at
"""


@dataclass(frozen=True, slots=True)
class EnrolledEmployee:
    """Result of an enrolment."""

    person_id: UUID
    name: str
    code: str | None
    is_new: bool
    added: int  # number of new photos
    pack: str
    face_id: UUID
    """Id of the best template among the photos."""
    global_id: int
    changed: bool
    """True if anything about the person has changed."""
    linked: list[int]
    """Global ids of unknown persons merged into this one."""


@dataclass(frozen=True, slots=True)
class TemplateRefresh:
    """Result of a refresh of one person: photos embedded, and the reasons for refused ones."""

    name: str
    added: int
    refused: tuple[str, ...]


def enrol(
    settings: Settings,
    pack: ModelPack,
    name: str,
    photos: Sequence[Photo],
    details: EmployeeProfile,
    *,
    person: UUID | None = None,
    new_only: bool = False,
    force: bool = False,
) -> EnrolledEmployee:
    """Enrol a person, or add photos to the person of that name and code, in one transaction.

    `person` is the id of an employee to add photos to, whatever their name. With a code that nobody
    has, photos decide: those of the person of that name who has no code give them the code, others
    are of somebody else of the same name. `force` accepts photos that disagree, and a face that
    another person is enrolled with (twins).

    Raises SightlineError for an invalid name or detail, PhotoError for a refused photo, and
    ConflictError for an e-mail address, code or, with `new_only`, name that is in use.
    """
    name = checked_name(name)
    details = details.validated()
    if not photos:
        raise SightlineError("give at least one photo")
    templates = [template_of_photo(photo, pack, settings) for photo in photos]
    with connect(settings, autocommit=True) as db:
        # Objects are deleted before the transaction is rolled back, while their keys are locked.
        with db.transaction(), db.cursor() as cursor, _objects(settings, cursor) as put:
            employees.lock_enrolment(cursor)
            people = employees.count(db)
            calibration = calibration_in_force(db, pack.id)
            scale = calibration.scale(people, settings.match.target_fpir)
            is_new = False
            agree = calibration.scale(people, _FALSE_ALARM_RATE).min_agreement
            if person is None:
                person, is_new = _find_or_add(
                    cursor, name, details.employee_id_code, pack.id, templates, agree, new_only
                )
            with employees.unique_conflicts():
                updated = employees.update(cursor, person, details)
            name, code = employees.lock_id(cursor, person), employees.code_of(cursor, person)
            if not force:
                _check(cursor, pack.id, person, templates, agree, calibration, people)
            added = sum(
                [_add(cursor, put, person, name, pack.id, template) for template in templates]
            )
            changed = is_new or updated or added > 0
            if changed:
                employees.publish(cursor, person)
            face = _face_id(cursor, person, pack.id, templates)
            trail.write_entry(cursor, global_id(str(person)))
        with db.transaction():  # a second one: it waits for the writers of the logs
            observations = settings.match.unknown_person_observations
            linked = link_unknown_persons(db.cursor(), pack.id, person, scale, observations)
    return EnrolledEmployee(
        person_id=person, name=name, code=code, is_new=is_new, added=added, pack=pack.id,
        face_id=face, global_id=global_id(str(person)), changed=changed, linked=linked,
    )  # fmt: skip


def _find_or_add(
    cursor: Cursor,
    name: str,
    code: str | None,
    pack: str,
    templates: Sequence[PhotoTemplate],
    agree: float,
    new_only: bool,
) -> tuple[UUID, bool]:
    """Return the id of the employee that the photos are of, and True if newly added."""
    enrolled = employee_lookup.enrolled_as(cursor, name, code)
    is_other = False
    if enrolled is not None and code is not None and enrolled.code is None:
        stored = template_similarity.templates(cursor, enrolled.person_id, pack)
        is_other = new_only or not template_similarity.any_agrees(stored, templates, agree)
    if is_other or enrolled is None:
        return employees.add(cursor, name, code), True
    if new_only:
        raise ConflictError(
            f"{enrolled.label} is enrolled already; another person of this name needs a code of"
            " their own"
        )
    return enrolled.person_id, False


def _check(
    cursor: Cursor,
    pack: str,
    person: UUID,
    templates: Sequence[PhotoTemplate],
    agree: float,
    calibration: Calibration,
    people: int,
) -> None:
    template_similarity.check_agreement(
        template_similarity.templates(cursor, person, pack), templates, agree
    )
    # Below the measured rates no threshold is promised: more photos are refused there.
    rate = max(_FALSE_ALARM_RATE / max(people, 1), calibration.min_supported_rate)
    threshold = calibration.threshold(1, rate)
    template_similarity.check_not_enrolled(cursor, pack, person, templates, threshold)


def _face_id(cursor: Cursor, person: UUID, pack: str, templates: Sequence[PhotoTemplate]) -> UUID:
    best = max(templates, key=lambda template: template.quality)
    face = employees.nearest_template(cursor, person, pack, best, _SAME_PHOTO_DISTANCE)
    if face is None:
        raise AssertionError("a template that was just added is not there")
    return face


def refresh_templates(settings: Settings, pack: ModelPack) -> Iterator[TemplateRefresh]:
    """Embed all stored photos that have no template of the pack yet, person by person."""
    store = open_store(settings)
    with connect(settings) as db:
        for row in employees.list_employees(db):
            db.commit()
            try:
                yield _refresh_person(db, store, settings, pack, row["id"])
            except NotFoundError:
                db.rollback()  # removed since the list was read
            db.commit()


def _refresh_person(
    db: Connection, store: ObjectStore, settings: Settings, pack: ModelPack, person: UUID
) -> TemplateRefresh:
    refused: list[str] = []
    added = 0
    with db.cursor() as cursor:
        name = employees.lock_id(cursor, person)
        embedded = employees.photo_urls(cursor, person, pack.id)
        for key in employees.photo_urls(cursor, person):
            if key in embedded:
                continue
            try:
                template = template_of_jpeg(store.get(key), key, pack, settings)
            except SightlineError as error:
                refused.append(str(error))
                continue
            employees.add_template(cursor, person, pack.id, key, template)
            added += 1
        if added:
            employees.publish(cursor, person)
    return TemplateRefresh(name, added, tuple(refused))


def _add(
    cursor: Cursor,
    put: Callable[[str, bytes], None],
    person: UUID,
    name: str,
    pack: str,
    template: PhotoTemplate,
) -> bool:
    """Add a photo unless the person has it; return True if it was added."""
    if employees.nearest_template(cursor, person, pack, template, _SAME_PHOTO_DISTANCE) is not None:
        return False
    used = employees.photo_urls_of_name(cursor, name)
    key = next(key for key in photo_keys(name) if key not in used)
    put(key, template.jpeg)
    employees.add_template(cursor, person, pack, key, template)
    return True


@contextmanager
def _objects(settings: Settings, cursor: Cursor) -> Iterator[Callable[[str, bytes], None]]:
    """Give a function that writes objects; they are deleted if the block fails.

    Should the process die, each object is recorded as stale first, so that the snapshot sink
    deletes it unless the cursor's transaction commits.
    """
    store = open_store(settings)
    written: list[str] = []
    with connect(settings, autocommit=True) as stale_objects:

        def put(key: str, data: bytes) -> None:
            stale_objects.execute(_STALE, (key, _ORPHANED_AFTER))
            cursor.execute("DELETE FROM stale_objects WHERE key = %s", (key,))
            written.append(key)
            store.put(key, data, "image/jpeg")

        try:
            yield put
        except BaseException:
            for key in written:
                store.delete(key)
            raise
